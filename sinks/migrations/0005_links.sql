-- Messages that hang together over queue ids: a filter's two, a relay's on the next host, a requeued one's.
--
-- What the next host's reply claims counts only where such a message is known to have arrived about then, and from there.
-- Functions with plans of their own: a plain subselect in a view would lock the partitions of all days.

-- The first label of a host's name, as logs have it with or without a domain.
CREATE FUNCTION host_label(name text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT lower(split_part(name, '.', 1))
$$;

-- Whether a message that arrived at to_host can be one that from_host handed to relay, name[address]:port.
CREATE FUNCTION is_hop(
    from_host text, from_queue_id text, from_message_id text, relay text, to_host text, orig_queue_id text,
    message_id text, client_name text, client_address text
) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN orig_queue_id = from_queue_id THEN true -- XFORWARD says so
        WHEN message_id <> from_message_id THEN false
        WHEN message_id = from_message_id AND message_id <> '' THEN true
        WHEN client_address IS NULL THEN false
        WHEN to_host = from_host THEN -- a filter takes it and brings it back
            client_address = split_part(split_part(relay, '[', 2), ']', 1)
            OR client_address = '::1' OR client_address LIKE '127.%'
        ELSE
            host_label(client_name) = host_label(from_host) OR host_label(split_part(relay, '[', 1)) = host_label(to_host)
    END
$$;

-- The message that the next host made of one that went to relay.
CREATE FUNCTION handed_on_as(host text, queue_id text, message_id text, relay text, queued_as text, at timestamptz)
RETURNS text LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
DECLARE
    found text;
BEGIN
    IF queued_as IS NOT NULL THEN
        EXECUTE $query$
            SELECT n.queue_id
            FROM delivery_from n
            WHERE n.queue_id = $1 AND n.arrived_at BETWEEN $2 AND $3 AND (n.host, n.queue_id) <> ($4, $5)
                AND is_hop($4, $5, $6, $7, n.host, n.orig_queue_id, n.message_id, n.client_name, n.client_address)
            ORDER BY n.arrived_at
            LIMIT 1
        $query$ INTO found
        USING queued_as, at - interval '10 minutes', at + interval '10 minutes', host, queue_id, message_id, relay;
    END IF;
    RETURN found;
END
$$;

-- The message under whose id a requeued one goes on.
CREATE FUNCTION requeued_as(host text, queue_id text, at timestamptz)
RETURNS text LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
DECLARE
    found text;
BEGIN
    IF at IS NOT NULL THEN
        EXECUTE $query$
            SELECT n.queue_id
            FROM delivery_from n
            WHERE n.orig_queue_id = $1 AND n.host = $2 AND n.arrived_at BETWEEN $3 AND $4
            ORDER BY n.arrived_at
            LIMIT 1
        $query$ INTO found USING queue_id, host, at - interval '10 minutes', at + interval '1 day';
    END IF;
    RETURN found;
END
$$;

-- The message that an earlier host, or this one before a filter, handed on as this one.
CREATE FUNCTION handed_on_from(
    host text, queue_id text, message_id text, client_name text, client_address text, arrived_at timestamptz
)
RETURNS text LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
DECLARE
    found text;
BEGIN
    IF client_name IS NOT NULL THEN
        EXECUTE $query$
            SELECT t.queue_id
            FROM delivery_to t
            LEFT JOIN delivery_from p ON p.arrived_at = t.arrived_at AND p.queue_id = t.queue_id AND p.host = t.host
            WHERE t.queued_as = $1 AND t.last_attempt_at BETWEEN $2 AND $3 AND t.arrived_at BETWEEN $4 AND $3
                AND p.arrived_at BETWEEN $4 AND $3 AND (t.host, t.queue_id) <> ($5, $1)
                AND is_hop(t.host, t.queue_id, p.message_id, t.relay, $5, NULL, $6, $7, $8)
            ORDER BY t.last_attempt_at
            LIMIT 1
        $query$ INTO found
        USING queue_id, arrived_at - interval '10 minutes', arrived_at + interval '10 minutes',
            arrived_at - interval '7 days', host, message_id, client_name, client_address;
    END IF;
    RETURN found;
END
$$;
