-- Delete the recipients that tombstones name. One under a sure message is not meant: it came by a line of its own.
DELETE FROM delivery_to USING unnest(%s::text[], %s::text[], %s::timestamptz[], %s::text[], %s::text[])
    AS gone (host, queue_id, arrived_at, recipient, orig_recipient)
WHERE delivery_to.arrived_at = gone.arrived_at
    AND delivery_to.queue_id = gone.queue_id
    AND delivery_to.host = gone.host
    AND delivery_to.recipient = gone.recipient
    AND delivery_to.orig_recipient = gone.orig_recipient
    AND delivery_to.origin < 2
