-- Delete the messages that tombstones name, but for those that have what no tombstone names: they are kept as parts.
DELETE FROM delivery_from USING unnest(%s::text[], %s::text[], %s::timestamptz[])
    AS gone (host, queue_id, arrived_at)
WHERE delivery_from.arrived_at = gone.arrived_at
    AND delivery_from.queue_id = gone.queue_id
    AND delivery_from.host = gone.host
    AND delivery_from.origin < 2
    AND delivery_from.parent_queue_id IS NULL
    AND NOT EXISTS (
        SELECT FROM delivery_to
        WHERE delivery_to.arrived_at = gone.arrived_at
            AND delivery_to.queue_id = gone.queue_id
            AND delivery_to.host = gone.host
    )
