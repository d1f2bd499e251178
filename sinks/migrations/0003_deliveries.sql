-- One row per message and recipient, with the status that a person would name. A message of which no recipient was seen
-- has one row too.

CREATE FUNCTION message_status(f delivery_from) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN CASE
    WHEN f.rejected_at IS NOT NULL THEN 'rejected'
    WHEN f.discarded_at IS NOT NULL THEN 'discarded'
    WHEN f.deleted_at IS NOT NULL THEN 'deleted'
    WHEN f.expired_at IS NOT NULL THEN 'expired'
    WHEN f.cancelled_at IS NOT NULL THEN 'cancelled'
    WHEN f.held_at IS NOT NULL AND f.removed_at IS NULL
        AND (f.released_at IS NULL OR f.held_at > f.released_at) THEN 'held'
    WHEN f.queued_at IS NOT NULL THEN 'queued'
    ELSE coalesce(
        -- smtpd logs an access map's HOLD or DISCARD directly before it gives the message its queue id: the same process
        -- and client, and no other message between them; the log may tell no more than seconds.
        (
            SELECT CASE WHEN n.action LIKE '%hold' THEN
                CASE WHEN f.released_at IS NULL THEN 'held' ELSE 'queued' END ELSE 'discarded' END
            FROM noqueue n
            WHERE n.action IN ('hold', 'milter-hold', 'discard', 'milter-discard')
                AND n.host = f.host AND n.pid = f.pid AND n.service = f.service
                AND n.client_address IS NOT DISTINCT FROM f.client_address
                AND n.at BETWEEN f.arrived_at - interval '2 seconds' AND f.arrived_at + interval '10 milliseconds'
                AND NOT EXISTS (
                    SELECT FROM delivery_from o
                    WHERE o.host = f.host AND o.pid = f.pid AND o.service = f.service
                        AND o.client_address IS NOT DISTINCT FROM f.client_address
                        AND o.arrived_at > n.at + interval '1 second' AND o.arrived_at < f.arrived_at
                )
            ORDER BY n.at DESC
            LIMIT 1
        ),
        -- From a client and never queued: given up, which Postfix before 3.10 does not log.
        CASE WHEN f.origin = 2 AND f.client_name IS NOT NULL AND f.parent_queue_id IS NULL THEN 'cancelled'
            ELSE 'queued' END
    )
END;

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
    t.history
FROM delivery_from f
LEFT JOIN delivery_to t ON t.arrived_at = f.arrived_at AND t.queue_id = f.queue_id AND t.host = f.host;
