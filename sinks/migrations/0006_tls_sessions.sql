-- The encryption of connections, and of the mail that went over them: found by host, process, peer and time.

CREATE TABLE tls_sessions (
    at           timestamptz NOT NULL,
    host         text COLLATE "C" NOT NULL,
    digest       text COLLATE "C" NOT NULL,
    parser       bigint NOT NULL,
    service      text COLLATE "C" NOT NULL,
    instance     text COLLATE "C" NOT NULL,
    pid          bigint NOT NULL,
    direction    text COLLATE "C" NOT NULL,
    trust        text COLLATE "C" NOT NULL,
    reused       boolean NOT NULL,
    ended        boolean NOT NULL,
    peer_name    text COLLATE "C",
    peer_address text COLLATE "C",
    peer_port    bigint,
    protocol     text COLLATE "C" NOT NULL,
    cipher       text COLLATE "C" NOT NULL,
    -- Host, time and digest name the line. The process, which the digest implies, is there for the search.
    PRIMARY KEY (host, pid, at, digest)
) PARTITION BY RANGE (at);

DO $$
BEGIN
    EXECUTE format(
        'CREATE TABLE tls_sessions_earlier PARTITION OF tls_sessions FOR VALUES FROM (MINVALUE) TO (%L)',
        first_partition_day()::text || ' 00:00:00+00'
    );
END
$$;
CREATE TABLE tls_sessions_later PARTITION OF tls_sessions DEFAULT;

ALTER TABLE delivery_to ADD COLUMN pid bigint;

-- The encryption of the latest session of a process with a peer, some minutes before at most: a process lives on, and its
-- id comes again. EXECUTE, since it plans for these very times, for the partitions of one or two days: planned as part of
-- the view, each search would open and lock the partitions of all days.
CREATE FUNCTION relay_tls(host text, pid bigint, service text, relay text, at timestamptz)
RETURNS text LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE AS $$
DECLARE
    said text;
BEGIN
    -- What an old version did not log of the relay, its address or port, fits any.
    IF relay LIKE '%[%' THEN
        EXECUTE $query$
            SELECT concat_ws(' ', nullif(s.trust, ''), s.protocol, s.cipher)
            FROM tls_sessions s
            WHERE s.host = $1 AND s.pid = $2 AND s.service = $3 AND s.direction = 'to' AND s.at BETWEEN $4 AND $5
                AND s.peer_name = split_part($6, '[', 1)
                AND (s.peer_address IS NULL OR s.peer_address = split_part(split_part($6, '[', 2), ']', 1))
                AND (s.peer_port IS NULL OR s.peer_port::text = split_part($6, ']:', 2))
            ORDER BY s.at DESC
            LIMIT 1
        $query$ INTO said USING host, pid, service, at - interval '10 minutes', at, relay;
    END IF;
    RETURN said;
END
$$;

CREATE FUNCTION client_tls(host text, pid bigint, service text, client_address text, at timestamptz)
RETURNS text LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE AS $$
DECLARE
    said text;
BEGIN
    -- None where that connection ended before: the client came back without encryption. A log may tell only seconds:
    -- an end in the second of the mail came after it, one in the second of a session after that.
    EXECUTE $query$
        SELECT CASE WHEN NOT s.ended THEN concat_ws(' ', nullif(s.trust, ''), s.protocol, s.cipher) END
        FROM tls_sessions s
        WHERE s.host = $1 AND s.pid = $2 AND s.service = $3 AND s.direction = 'from' AND s.at BETWEEN $4 AND $5
            AND s.peer_address = $6 AND (NOT s.ended OR s.at < date_trunc('second', $5))
        ORDER BY s.at DESC, s.ended DESC
        LIMIT 1
    $query$ INTO said USING host, pid, service, at - interval '10 minutes', at, client_address;
    RETURN said;
END
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
    coalesce(
        t.next_queue_id,
        handed_on_as(f.host, f.queue_id, f.message_id, t.relay, t.queued_as, t.last_attempt_at),
        requeued_as(f.host, f.queue_id, f.requeued_at)
    ) AS next_queue_id,
    coalesce(
        f.parent_queue_id,
        f.orig_queue_id,
        handed_on_from(f.host, f.queue_id, f.message_id, f.client_name, f.client_address, f.arrived_at)
    ) AS parent_queue_id,
    coalesce(t.code, substring(f.reject_reply FROM '^([2-5][0-9][0-9])[ -]')::bigint) AS code,
    coalesce(t.reason, f.reject_reason) AS reason,
    f.subject,
    f.verp_id,
    coalesce(t.tls, relay_tls(f.host, t.pid, t.service, t.relay, t.last_attempt_at)) AS tls,
    client_tls(f.host, nullif(f.pid, 0), f.service, f.client_address, f.arrived_at) AS client_tls,
    f.parent_reason,
    f.origin,
    f.removed_at,
    t.status AS logged_status,
    t.service AS delivery_service,
    t.delays,
    t.queued_as,
    t.history
FROM delivery_from f
LEFT JOIN delivery_to t ON t.arrived_at = f.arrived_at AND t.queue_id = f.queue_id AND t.host = f.host;
