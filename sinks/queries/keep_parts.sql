-- Make parts of the withdrawn messages that are left, and note them as such.
WITH kept AS (
    UPDATE delivery_from SET origin = 0
    FROM unnest(%s::text[], %s::text[], %s::timestamptz[]) AS gone (host, queue_id, arrived_at)
    WHERE delivery_from.arrived_at = gone.arrived_at
        AND delivery_from.queue_id = gone.queue_id
        AND delivery_from.host = gone.host
        AND delivery_from.origin < 2
    RETURNING delivery_from.arrived_at, delivery_from.queue_id, delivery_from.host
)
INSERT INTO part_candidates (arrived_at, queue_id, host, origin) SELECT arrived_at, queue_id, host, 0 FROM kept
