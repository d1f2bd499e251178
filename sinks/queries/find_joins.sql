-- Find the message that each candidate belongs to: the newest of its slot that had begun by then and had not ended,
-- within the queue lifetime. streams/slots.py has the same rules. One part a message: the writer asks again until there
-- is none.
INSERT INTO part_joins (part_arrived_at, queue_id, host, arrived_at, origin)
SELECT DISTINCT ON (message.arrived_at, part.queue_id, part.host)
    part.arrived_at, part.queue_id, part.host, message.arrived_at, message.origin
FROM (
    SELECT
        candidate.arrived_at,
        candidate.queue_id,
        candidate.host,
        own.removed_at,
        own.parent_queue_id,
        own.message_id,
        coalesce(own.origin, candidate.origin) AS origin
    FROM part_candidates AS candidate
    -- One by one, by the key: hashing the rows of all days would take longer with every row that is there.
    LEFT JOIN LATERAL (
        SELECT d.host, d.removed_at, d.parent_queue_id, d.message_id, d.origin
        FROM delivery_from AS d
        WHERE d.arrived_at = candidate.arrived_at AND d.queue_id = candidate.queue_id AND d.host = candidate.host
            AND d.arrived_at BETWEEN %(first)s::timestamptz AND %(last)s::timestamptz
        OFFSET 0
    ) AS own ON true
    -- The recipients may come before or after the message; and a candidate may have joined already.
    WHERE own.host IS NOT NULL OR (
        SELECT true
        FROM delivery_to AS recipient
        WHERE recipient.arrived_at = candidate.arrived_at
            AND recipient.queue_id = candidate.queue_id
            AND recipient.host = candidate.host
            AND recipient.arrived_at BETWEEN %(first)s::timestamptz AND %(last)s::timestamptz
        LIMIT 1
    )
    OFFSET 0
) AS part
CROSS JOIN LATERAL (
    SELECT m.arrived_at, m.origin
    FROM delivery_from AS m
    WHERE m.queue_id = part.queue_id
        AND m.host = part.host
        AND m.arrived_at <> part.arrived_at
        AND m.arrived_at <= part.arrived_at + interval '5 seconds'
        AND m.arrived_at > part.arrived_at
            - CASE part.origin WHEN 0 THEN %(lifetime)s::interval ELSE interval '1 hour' END
        AND m.arrived_at <= %(last)s::timestamptz + interval '5 seconds'
        AND m.arrived_at > %(first)s::timestamptz - %(lifetime)s::interval
        AND (part.removed_at IS NULL OR part.removed_at >= m.arrived_at)
        -- What has a parent came from a daemon of this host: no client and no command brought it.
        AND (part.parent_queue_id IS NULL OR part.origin > 0 OR m.origin < 2)
        AND CASE part.origin
            -- A line of a message that no line began, read once more after its end, is its own. Until then the stage may
            -- take the message back for one that begins better, and what had joined it would go with it.
            WHEN 0 THEN m.origin > 0 OR (
                m.arrived_at < part.arrived_at
                AND part.arrived_at <= greatest(m.removed_at, m.deleted_at, m.cancelled_at, m.requeued_at)
            )
            ELSE m.origin = 2 AND (m.queued_at IS NULL OR m.queued_at >= part.arrived_at - interval '5 seconds')
                -- cleanup names a message before it is over: what it names otherwise then is one that has the id next.
                AND coalesce(
                    part.message_id = m.message_id OR part.arrived_at <= coalesce(
                        m.removed_at, m.deleted_at, m.cancelled_at, m.requeued_at, m.rejected_at, m.discarded_at
                    ),
                    true
                )
        END
        AND coalesce(
            coalesce(m.removed_at, m.deleted_at, m.cancelled_at, m.requeued_at)
                >= part.arrived_at - interval '5 seconds',
            true
        )
    ORDER BY m.origin > 0 DESC, m.arrived_at DESC
    LIMIT 1
) AS message
WHERE part.origin < 2
ORDER BY message.arrived_at, part.queue_id, part.host, part.arrived_at
