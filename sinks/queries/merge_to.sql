-- Merge the staged versions of deliveries into the table: schemas.merging.merge_deliveries. A row that would not change
-- is not written. In key order, so that two sinks don't deadlock.
INSERT INTO delivery_to AS row (
    host, queue_id, arrived_at, origin, recipient, orig_recipient, last_attempt_at, status, number, parser, service,
    dsn, relay, reply, delay, delays, connection_use, tls, queued_as, next_queue_id, stage, code, reason, pid,
    first_attempt_at, attempts, history
)
SELECT
    host, queue_id, arrived_at, origin, recipient, orig_recipient, last_attempt_at, status, number, parser, service,
    dsn, relay, reply, delay, delays, connection_use, tls, queued_as, next_queue_id, stage, code, reason, pid,
    first_attempt_at, attempts, history
FROM staged_to
ORDER BY arrived_at, queue_id, host, recipient, orig_recipient
ON CONFLICT (arrived_at, queue_id, host, recipient, orig_recipient) DO UPDATE SET
    origin = greatest(row.origin, excluded.origin),
    first_attempt_at = least(row.first_attempt_at, excluded.first_attempt_at),
    (
        last_attempt_at, status, number, parser, service, dsn, relay, reply, delay, delays, connection_use, tls,
        queued_as, next_queue_id, stage, code, reason, pid, history, attempts
    ) = (
        SELECT
            latest.last_attempt_at, latest.status, latest.number, latest.parser, latest.service, latest.dsn,
            latest.relay, latest.reply, latest.delay, latest.delays, latest.connection_use, latest.tls,
            latest.queued_as, latest.next_queue_id, latest.stage, latest.code, latest.reason, latest.pid,
            latest.history,
            greatest(row.attempts, excluded.attempts, counted_attempts(latest.history, latest.status))
        FROM (
            SELECT
                CASE WHEN later THEN excluded.last_attempt_at ELSE row.last_attempt_at END AS last_attempt_at,
                CASE WHEN later THEN excluded.status ELSE row.status END AS status,
                CASE WHEN later THEN excluded.number ELSE row.number END AS number,
                CASE WHEN later THEN excluded.parser ELSE row.parser END AS parser,
                CASE WHEN later THEN excluded.service ELSE row.service END AS service,
                CASE WHEN later THEN excluded.dsn ELSE row.dsn END AS dsn,
                CASE WHEN later THEN excluded.relay ELSE row.relay END AS relay,
                CASE WHEN later THEN excluded.reply ELSE row.reply END AS reply,
                CASE WHEN later THEN excluded.delay ELSE row.delay END AS delay,
                CASE WHEN later THEN excluded.delays ELSE row.delays END AS delays,
                CASE WHEN later THEN excluded.connection_use ELSE row.connection_use END AS connection_use,
                CASE WHEN later THEN excluded.tls ELSE row.tls END AS tls,
                CASE WHEN later THEN excluded.queued_as ELSE row.queued_as END AS queued_as,
                CASE WHEN later THEN excluded.next_queue_id ELSE row.next_queue_id END AS next_queue_id,
                CASE WHEN later THEN excluded.stage ELSE row.stage END AS stage,
                CASE WHEN later THEN excluded.code ELSE row.code END AS code,
                CASE WHEN later THEN excluded.reason ELSE row.reason END AS reason,
                CASE WHEN later THEN excluded.pid ELSE row.pid END AS pid,
                united_history(
                    row.history || excluded.history || ours || theirs, CASE WHEN later THEN theirs ELSE ours END
                ) AS history
            FROM (
                SELECT
                    (
                        excluded.last_attempt_at, excluded.status <> 'rejected', excluded.parser,
                        attempt_entry(excluded.last_attempt_at, excluded.status, excluded.number, excluded.parser, excluded.dsn, excluded.relay, excluded.reply) COLLATE "C",
                        excluded.reply, excluded.service, excluded.delays IS NOT NULL, coalesce(excluded.delays, ''),
                        excluded.delay IS NOT NULL, coalesce(excluded.delay, 0), excluded.connection_use IS NOT NULL,
                        coalesce(excluded.connection_use, 0), excluded.tls IS NOT NULL, coalesce(excluded.tls, ''),
                        excluded.queued_as IS NOT NULL, coalesce(excluded.queued_as, ''),
                        excluded.next_queue_id IS NOT NULL, coalesce(excluded.next_queue_id, ''),
                        excluded.stage IS NOT NULL, coalesce(excluded.stage, ''), excluded.code IS NOT NULL,
                        coalesce(excluded.code, 0), excluded.reason IS NOT NULL, coalesce(excluded.reason, ''),
                        excluded.pid IS NOT NULL, coalesce(excluded.pid, 0)
                    ) > (
                        row.last_attempt_at, row.status <> 'rejected', row.parser,
                        attempt_entry(row.last_attempt_at, row.status, row.number, row.parser, row.dsn, row.relay, row.reply) COLLATE "C",
                        row.reply, row.service, row.delays IS NOT NULL, coalesce(row.delays, ''),
                        row.delay IS NOT NULL, coalesce(row.delay, 0), row.connection_use IS NOT NULL,
                        coalesce(row.connection_use, 0), row.tls IS NOT NULL, coalesce(row.tls, ''),
                        row.queued_as IS NOT NULL, coalesce(row.queued_as, ''), row.next_queue_id IS NOT NULL,
                        coalesce(row.next_queue_id, ''), row.stage IS NOT NULL, coalesce(row.stage, ''),
                        row.code IS NOT NULL, coalesce(row.code, 0), row.reason IS NOT NULL, coalesce(row.reason, ''),
                        row.pid IS NOT NULL, coalesce(row.pid, 0)
                    ) AS later,
                    attempt_entry(row.last_attempt_at, row.status, row.number, row.parser, row.dsn, row.relay, row.reply) AS ours,
                    attempt_entry(excluded.last_attempt_at, excluded.status, excluded.number, excluded.parser, excluded.dsn, excluded.relay, excluded.reply) AS theirs
                OFFSET 0
            ) AS compared
            OFFSET 0
        ) AS latest
    )
WHERE excluded.origin > row.origin
    OR excluded.first_attempt_at < row.first_attempt_at
    OR excluded.attempts > row.attempts
    OR (
        excluded.last_attempt_at, excluded.status <> 'rejected', excluded.parser,
        attempt_entry(excluded.last_attempt_at, excluded.status, excluded.number, excluded.parser, excluded.dsn, excluded.relay, excluded.reply) COLLATE "C",
        excluded.reply, excluded.service, excluded.delays IS NOT NULL, coalesce(excluded.delays, ''),
        excluded.delay IS NOT NULL, coalesce(excluded.delay, 0), excluded.connection_use IS NOT NULL,
        coalesce(excluded.connection_use, 0), excluded.tls IS NOT NULL, coalesce(excluded.tls, ''),
        excluded.queued_as IS NOT NULL, coalesce(excluded.queued_as, ''), excluded.next_queue_id IS NOT NULL,
        coalesce(excluded.next_queue_id, ''), excluded.stage IS NOT NULL, coalesce(excluded.stage, ''),
        excluded.code IS NOT NULL, coalesce(excluded.code, 0), excluded.reason IS NOT NULL,
        coalesce(excluded.reason, ''), excluded.pid IS NOT NULL, coalesce(excluded.pid, 0)
    ) > (
        row.last_attempt_at, row.status <> 'rejected', row.parser,
        attempt_entry(row.last_attempt_at, row.status, row.number, row.parser, row.dsn, row.relay, row.reply) COLLATE "C",
        row.reply, row.service, row.delays IS NOT NULL, coalesce(row.delays, ''), row.delay IS NOT NULL,
        coalesce(row.delay, 0), row.connection_use IS NOT NULL, coalesce(row.connection_use, 0), row.tls IS NOT NULL,
        coalesce(row.tls, ''), row.queued_as IS NOT NULL, coalesce(row.queued_as, ''), row.next_queue_id IS NOT NULL,
        coalesce(row.next_queue_id, ''), row.stage IS NOT NULL, coalesce(row.stage, ''), row.code IS NOT NULL,
        coalesce(row.code, 0), row.reason IS NOT NULL, coalesce(row.reason, ''), row.pid IS NOT NULL,
        coalesce(row.pid, 0)
    )
    OR NOT (excluded.history || attempt_entry(excluded.last_attempt_at, excluded.status, excluded.number, excluded.parser, excluded.dsn, excluded.relay, excluded.reply))
        <@ (row.history || attempt_entry(row.last_attempt_at, row.status, row.number, row.parser, row.dsn, row.relay, row.reply))
