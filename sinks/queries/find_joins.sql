-- Find the part rows (origin below 2) that this batch brings or touches and the message that each belongs to: the newest
-- of its slot that had begun by then, within the queue lifetime. streams/slots.py has the same rules. One part a message:
-- the writer asks again until there is none.
INSERT INTO part_joins (part_arrived_at, queue_id, host, arrived_at, origin)
WITH part AS (
    SELECT arrived_at, queue_id, host, origin FROM staged_from WHERE origin < 2
    UNION
    SELECT arrived_at, queue_id, host, origin FROM staged_to WHERE origin < 2
    UNION
    -- Parts whose message comes now.
    SELECT waiting.arrived_at, waiting.queue_id, waiting.host, waiting.origin
    FROM delivery_from AS waiting
    JOIN staged_from AS come ON come.queue_id = waiting.queue_id AND come.host = waiting.host
    WHERE waiting.origin = 0
        AND waiting.arrived_at >= (SELECT min(arrived_at) - interval '5 seconds' FROM staged_from)
    UNION
    -- Those that cleanup began: they have the message id that the message lacks.
    SELECT waiting.arrived_at, waiting.queue_id, waiting.host, waiting.origin
    FROM staged_from AS come
    JOIN delivery_from AS waiting ON waiting.queue_id = come.queue_id AND waiting.host = come.host
        AND waiting.arrived_at BETWEEN come.arrived_at - interval '5 seconds' AND come.arrived_at + interval '1 hour'
    WHERE come.origin = 2 AND come.message_id IS NULL AND waiting.origin = 1
)
SELECT DISTINCT ON (message.arrived_at, part.queue_id, part.host)
    part.arrived_at, part.queue_id, part.host, message.arrived_at, message.origin
FROM part
LEFT JOIN delivery_from AS own
    ON own.arrived_at = part.arrived_at AND own.queue_id = part.queue_id AND own.host = part.host
CROSS JOIN LATERAL (
    SELECT m.arrived_at, m.origin
    FROM delivery_from AS m
    WHERE m.queue_id = part.queue_id
        AND m.host = part.host
        AND m.arrived_at <> part.arrived_at
        AND m.arrived_at <= part.arrived_at + interval '5 seconds'
        AND m.arrived_at > part.arrived_at - %(lifetime)s::interval
        AND (own.removed_at IS NULL OR own.removed_at >= m.arrived_at)
        AND CASE part.origin
            WHEN 0 THEN m.origin > 0
                OR (m.arrived_at < part.arrived_at AND m.arrived_at >= part.arrived_at - interval '5 seconds')
            ELSE m.origin = 2
                AND m.arrived_at > part.arrived_at - interval '1 hour'
                AND (m.queued_at IS NULL OR m.queued_at >= part.arrived_at - interval '5 seconds')
                AND (m.removed_at IS NULL OR m.removed_at >= part.arrived_at - interval '5 seconds')
        END
    ORDER BY m.origin > 0 DESC, m.arrived_at DESC
    LIMIT 1
) AS message
WHERE coalesce(own.origin, part.origin) < 2
ORDER BY message.arrived_at, part.queue_id, part.host, part.arrived_at
