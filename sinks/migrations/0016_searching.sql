-- Searches look up where the messages of a page came from and went to, and their encryption, for all of its rows at once
-- (web/searches/lookups.py). For that, the view without what is looked up elsewhere, row by row.

CREATE VIEW delivery_rows AS
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
    coalesce(t.code, substring(f.reject_reply FROM '^([2-5][0-9][0-9])[ -]')::bigint) AS code,
    coalesce(t.reason, f.reject_reason) AS reason,
    f.subject,
    f.verp_id,
    f.parent_reason,
    f.origin,
    f.removed_at,
    t.status AS logged_status,
    t.service AS delivery_service,
    t.delays,
    t.queued_as,
    t.history,
    t.next_queue_id AS logged_next_queue_id,
    coalesce(f.parent_queue_id, f.orig_queue_id) AS logged_parent_queue_id,
    f.requeued_at,
    t.last_attempt_at AS logged_at,
    t.pid AS delivery_pid,
    t.tls AS logged_tls,
    nullif(f.pid, 0) AS pid
FROM delivery_from f
LEFT JOIN delivery_to t ON t.arrived_at = f.arrived_at AND t.queue_id = f.queue_id AND t.host = f.host;

CREATE OR REPLACE VIEW deliveries AS
SELECT
    host,
    queue_id,
    arrived_at,
    sender,
    recipient,
    orig_recipient,
    status,
    dsn,
    relay,
    reply,
    delay,
    attempts,
    first_attempt_at,
    last_attempt_at,
    message_id,
    size,
    recipient_count,
    client_name,
    client_address,
    sasl_username,
    service,
    coalesce(
        logged_next_queue_id,
        handed_on_as(host, queue_id, message_id, relay, queued_as, logged_at),
        requeued_as(host, queue_id, requeued_at)
    ) AS next_queue_id,
    coalesce(
        logged_parent_queue_id,
        handed_on_from(host, queue_id, message_id, client_name, client_address, arrived_at)
    ) AS parent_queue_id,
    code,
    reason,
    subject,
    verp_id,
    coalesce(logged_tls, relay_tls(host, delivery_pid, delivery_service, relay, logged_at)) AS tls,
    client_tls(host, pid, service, client_address, arrived_at) AS client_tls,
    parent_reason,
    origin,
    removed_at,
    logged_status,
    delivery_service,
    delays,
    queued_as,
    history
FROM delivery_rows;

COMMENT ON VIEW delivery_rows IS
    'What deliveries is made of, without what has to be looked up in other rows: where a message came from and went '
    'to, and its encryption. For searches, which look that up for many rows at once.';
COMMENT ON COLUMN delivery_rows.logged_next_queue_id IS 'As delivery_to.next_queue_id.';
COMMENT ON COLUMN delivery_rows.logged_parent_queue_id IS 'As delivery_from.parent_queue_id, or else orig_queue_id.';
COMMENT ON COLUMN delivery_rows.requeued_at IS 'As delivery_from.requeued_at.';
COMMENT ON COLUMN delivery_rows.logged_at IS 'As delivery_to.last_attempt_at: of a rejection too.';
COMMENT ON COLUMN delivery_rows.delivery_pid IS 'As delivery_to.pid.';
COMMENT ON COLUMN delivery_rows.logged_tls IS 'As delivery_to.tls.';
COMMENT ON COLUMN delivery_rows.pid IS 'As delivery_from.pid; none where it is 0.';

-- The others are what they are in deliveries.
DO $$
DECLARE
    same record;
BEGIN
    FOR same IN
        SELECT rows.attname AS name, col_description('deliveries'::regclass, known.attnum) AS said
        FROM pg_attribute AS rows
        JOIN pg_attribute AS known ON known.attrelid = 'deliveries'::regclass AND known.attname = rows.attname
        WHERE rows.attrelid = 'delivery_rows'::regclass
    LOOP
        EXECUTE format('COMMENT ON COLUMN delivery_rows.%I IS %L', same.name, same.said);
    END LOOP;
END
$$;
