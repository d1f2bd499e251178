-- More facts: the reply code, why mail was not delivered, the subject, VERP; and which parser read a line, so that of two
-- readings of one line the newer counts.

ALTER TABLE delivery_from
    ADD COLUMN reject_reason text COLLATE "C",
    ADD COLUMN subject       text COLLATE "C",
    ADD COLUMN verp_id       text COLLATE "C";

ALTER TABLE delivery_to
    ADD COLUMN parser bigint NOT NULL DEFAULT 0,
    ADD COLUMN code   bigint,
    ADD COLUMN reason text COLLATE "C";

ALTER TABLE noqueue
    ADD COLUMN parser bigint NOT NULL DEFAULT 0,
    ADD COLUMN reason text COLLATE "C";

CREATE INDEX delivery_to_reason ON delivery_to (reason, arrived_at) WHERE reason IS NOT NULL;
CREATE INDEX delivery_from_verp_id ON delivery_from (verp_id, arrived_at) WHERE verp_id IS NOT NULL;

-- schemas.merging.attempt_entry. The function without a parser stays for sinks that run while this migration does.
CREATE FUNCTION attempt_entry(
    at timestamptz, status text, number bigint, parser bigint, dsn text, relay text, reply text
)
RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || E'\t' || status_rank(status) || E'\t'
        || lpad(number::text, greatest(10, length(number::text)), '0')
        || CASE WHEN parser = 0 THEN '' ELSE '.' || lpad(parser::text, greatest(4, length(parser::text)), '0') END
        || E'\t' || status || E'\t' || dsn || E'\t' || relay || E'\t' || left(reply, 160)
$$;

-- What names the log line of an attempt's entry: its time and number.
CREATE FUNCTION attempt_line(entry text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT split_part(entry, E'\t', 1) || E'\t' || split_part(split_part(entry, E'\t', 3), '.', 1)
$$;

-- schemas.merging.united_history
CREATE OR REPLACE FUNCTION united_history(entries text[], latest text)
RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce(array_agg(entry ORDER BY entry COLLATE "C"), '{}')
    FROM (
        SELECT
            entry,
            row_number() OVER (
                PARTITION BY split_part(entry, E'\t', 2) = '0' ORDER BY entry COLLATE "C" DESC
            ) AS newest_first
        FROM (
            SELECT max(entry COLLATE "C") AS entry
            FROM unnest(entries) AS entry
            WHERE attempt_line(entry) <> attempt_line(latest)
            GROUP BY attempt_line(entry)
        ) AS lines
    ) AS earlier
    WHERE newest_first <= 200
$$;

DROP VIEW deliveries;
CREATE VIEW deliveries AS
SELECT
    f.host,
    f.queue_id,
    f.arrived_at,
    f.sender,
    t.recipient,
    nullif(t.orig_recipient, '') AS orig_recipient,
    CASE
        WHEN t.status IS NULL THEN message_status(f)
        WHEN t.status = 'sent' AND (t.service = 'discard' OR t.service LIKE '%/discard') THEN 'discarded'
        WHEN t.status IN ('sent', 'bounced', 'rejected', 'deliverable', 'undeliverable') THEN t.status
        WHEN f.deleted_at IS NOT NULL THEN 'deleted'
        WHEN f.expired_at IS NOT NULL THEN 'expired'
        WHEN f.cancelled_at IS NOT NULL THEN 'cancelled'
        WHEN f.discarded_at IS NOT NULL THEN 'discarded'
        WHEN f.held_at IS NOT NULL AND f.removed_at IS NULL
            AND (f.released_at IS NULL OR f.held_at > f.released_at) THEN 'held'
        ELSE 'deferred'
    END AS status,
    nullif(t.dsn, '') AS dsn,
    nullif(t.relay, '') AS relay,
    coalesce(t.reply, f.reject_reply, f.discard_reply) AS reply,
    t.delay,
    coalesce(t.attempts, 0) AS attempts,
    CASE WHEN t.attempts > 0 THEN t.first_attempt_at END AS first_attempt_at,
    CASE WHEN t.attempts > 0 THEN t.last_attempt_at END AS last_attempt_at,
    f.message_id,
    f.size,
    f.recipient_count,
    f.client_name,
    f.client_address,
    f.sasl_username,
    f.service,
    -- The next host's claim counts only where such a message is known to have arrived about then.
    coalesce(
        t.next_queue_id,
        (
            SELECT n.queue_id
            FROM delivery_from n
            WHERE n.queue_id = t.queued_as AND (n.host, n.queue_id) <> (f.host, f.queue_id)
                AND n.arrived_at BETWEEN t.last_attempt_at - interval '10 minutes'
                AND t.last_attempt_at + interval '10 minutes'
            LIMIT 1
        ),
        CASE WHEN f.requeued_at IS NOT NULL THEN (
            SELECT n.queue_id
            FROM delivery_from n
            WHERE n.orig_queue_id = f.queue_id AND n.host = f.host
                AND n.arrived_at >= f.requeued_at - interval '10 minutes'
            ORDER BY n.arrived_at
            LIMIT 1
        ) END
    ) AS next_queue_id,
    coalesce(
        f.parent_queue_id,
        f.orig_queue_id,
        (
            SELECT p.queue_id
            FROM delivery_to p
            WHERE p.queued_as = f.queue_id AND (p.host, p.queue_id) <> (f.host, f.queue_id)
                AND p.arrived_at BETWEEN f.arrived_at - interval '10 days' AND f.arrived_at + interval '10 minutes'
                AND p.last_attempt_at BETWEEN f.arrived_at - interval '10 minutes'
                AND f.arrived_at + interval '10 minutes'
            LIMIT 1
        )
    ) AS parent_queue_id,
    f.parent_reason,
    f.origin,
    f.removed_at,
    t.status AS logged_status,
    t.service AS delivery_service,
    t.delays,
    t.tls,
    t.queued_as,
    t.history,
    coalesce(t.code, substring(f.reject_reply FROM '^([2-5][0-9][0-9])[ -]')::bigint) AS code,
    coalesce(t.reason, f.reject_reason) AS reason,
    f.subject,
    f.verp_id
FROM delivery_from f
LEFT JOIN delivery_to t ON t.arrived_at = f.arrived_at AND t.queue_id = f.queue_id AND t.host = f.host;
