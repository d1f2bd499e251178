-- Note the rows that may be parts of another message (origin below 2): those that this batch brings, and those that
-- wait for a message that it brings. Times are given, so that only a few days are looked at.
INSERT INTO part_candidates (arrived_at, queue_id, host, origin)
SELECT arrived_at, queue_id, host, max(origin)
FROM (
    SELECT arrived_at, queue_id, host, origin FROM staged_from WHERE origin < 2
    UNION ALL
    SELECT arrived_at, queue_id, host, origin FROM staged_to WHERE origin < 2
    UNION ALL
    SELECT waiting.arrived_at, waiting.queue_id, waiting.host, waiting.origin
    FROM delivery_from AS waiting
    JOIN staged_from AS come ON come.queue_id = waiting.queue_id AND come.host = waiting.host
    WHERE waiting.origin = 0
        AND waiting.arrived_at >= %(first)s::timestamptz - interval '5 seconds'
        AND waiting.arrived_at < %(last)s::timestamptz + %(lifetime)s::interval
    UNION ALL
    -- Those that cleanup began: they have the message id that the message lacks.
    SELECT waiting.arrived_at, waiting.queue_id, waiting.host, waiting.origin
    FROM staged_from AS come
    JOIN delivery_from AS waiting ON waiting.queue_id = come.queue_id AND waiting.host = come.host
        AND waiting.arrived_at BETWEEN come.arrived_at - interval '5 seconds' AND come.arrived_at + interval '1 hour'
    WHERE come.origin = 2 AND come.message_id IS NULL AND waiting.origin = 1
        AND waiting.arrived_at BETWEEN %(first)s::timestamptz - interval '5 seconds'
            AND %(last)s::timestamptz + interval '1 hour'
) AS part
GROUP BY arrived_at, queue_id, host
