-- Take the recipients of the part rows that join a message out of the table and stage them under the message's key.
WITH gone AS (
    DELETE FROM delivery_to AS part
    USING part_joins
    WHERE part.arrived_at = part_joins.part_arrived_at
        AND part.queue_id = part_joins.queue_id
        AND part.host = part_joins.host
    RETURNING part.*, part_joins.arrived_at AS new_arrived_at, part_joins.origin AS new_origin
)
INSERT INTO staged_to (
    host, queue_id, arrived_at, origin, recipient, orig_recipient, last_attempt_at, status, number, parser, service, dsn,
    relay, reply, delay, delays, connection_use, tls, queued_as, next_queue_id, stage, code, reason, pid,
    first_attempt_at, attempts, history
)
SELECT
    host, queue_id, new_arrived_at, greatest(origin, new_origin), recipient, orig_recipient, last_attempt_at,
    status, number, parser, service, dsn, relay, reply, delay, delays, connection_use, tls, queued_as, next_queue_id, stage,
    code, reason, pid, first_attempt_at, attempts, history
FROM gone
