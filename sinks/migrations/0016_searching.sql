-- Searches find keys first, and then the rows of a page of keys. For that, the view deliveries with a span of time as its
-- parameters, so that both tables are planned for the days of the page alone; and without what is looked up in other rows,
-- which searches do for all rows of a page at once (web/searches/lookups.py).

-- The rows of the messages that arrived from first until last, both included: what deliveries has, as far as searches
-- show it, and what their look-ups take. One SELECT, STABLE and not STRICT: the planner puts it in the place of the call.
CREATE FUNCTION delivery_rows(first timestamptz, last timestamptz) RETURNS TABLE (
    host                   text,
    queue_id               text,
    arrived_at             timestamptz,
    sender                 text,
    recipient              text,
    orig_recipient         text,
    status                 text,
    dsn                    text,
    relay                  text,
    reply                  text,
    delay                  double precision,
    attempts               bigint,
    first_attempt_at       timestamptz,
    last_attempt_at        timestamptz,
    message_id             text,
    size                   bigint,
    recipient_count        bigint,
    client_name            text,
    client_address         text,
    sasl_username          text,
    service                text,
    code                   bigint,
    reason                 text,
    subject                text,
    verp_id                text,
    logged_next_queue_id   text,
    logged_parent_queue_id text,
    requeued_at            timestamptz,
    logged_at              timestamptz,
    delivery_pid           bigint,
    delivery_service       text,
    logged_tls             text,
    pid                    bigint,
    queued_as              text
) LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
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
        END,
        nullif(t.dsn, ''),
        nullif(t.relay, ''),
        coalesce(t.reply, f.reject_reply, f.discard_reply),
        t.delay,
        coalesce(t.attempts, 0),
        CASE WHEN t.attempts > 0 THEN t.first_attempt_at END,
        CASE WHEN t.attempts > 0 THEN t.last_attempt_at END,
        f.message_id,
        f.size,
        f.recipient_count,
        f.client_name,
        f.client_address,
        f.sasl_username,
        f.service,
        coalesce(t.code, substring(f.reject_reply FROM '^([2-5][0-9][0-9])[ -]')::bigint),
        coalesce(t.reason, f.reject_reason),
        f.subject,
        f.verp_id,
        t.next_queue_id,
        coalesce(f.parent_queue_id, f.orig_queue_id),
        f.requeued_at,
        t.last_attempt_at,
        t.pid,
        t.service,
        t.tls,
        nullif(f.pid, 0),
        t.queued_as
    FROM delivery_from f
    LEFT JOIN delivery_to t ON t.arrived_at = f.arrived_at AND t.queue_id = f.queue_id AND t.host = f.host
        AND t.arrived_at BETWEEN delivery_rows.first AND delivery_rows.last
    WHERE f.arrived_at BETWEEN delivery_rows.first AND delivery_rows.last;
END;
COMMENT ON FUNCTION delivery_rows IS
    'For searches: deliveries of the messages that arrived from first until last, without what is looked up elsewhere.';

-- Of the mail that did not simply go through, little was held or deleted: found without looking at all that expired.
CREATE INDEX delivery_from_held ON delivery_from (arrived_at) WHERE held_at IS NOT NULL;
CREATE INDEX delivery_from_deleted ON delivery_from (arrived_at) WHERE deleted_at IS NOT NULL;
