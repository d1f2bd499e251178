-- What searches and sinks need to be quick, also among tens of millions of rows.

-- The addresses and clients' names that rows hold: a search for a part of one looks here first, where each stands once.
CREATE TABLE known_names (
    kind text COLLATE "C" NOT NULL CHECK (kind IN ('sender', 'recipient', 'client')),
    name text COLLATE "C" NOT NULL,
    seen date NOT NULL, -- the day on which a sink wrote it last: no row written later holds it
    PRIMARY KEY (kind, name)
);

INSERT INTO known_names (kind, name, seen)
SELECT kind, name, (now() AT TIME ZONE 'UTC')::date
FROM (
    SELECT 'sender' AS kind, sender AS name FROM delivery_from
    UNION
    SELECT 'client', client_name FROM delivery_from
    UNION
    SELECT 'recipient', recipient FROM delivery_to
) AS names
WHERE name <> '' AND length(name) <= 600;

-- An index of their parts, where this server has one to offer; without it all names are looked through.
DO $$
BEGIN
    CREATE EXTENSION IF NOT EXISTS pg_trgm;
    CREATE INDEX known_names_parts ON known_names USING gin (lower(name) gin_trgm_ops);
EXCEPTION WHEN insufficient_privilege OR undefined_file OR feature_not_supported OR undefined_object THEN
    RAISE NOTICE 'searches for parts of addresses have no index: %', SQLERRM;
END
$$;

-- The same answer in two steps instead of a join: nearly no message has such a claim, and the join was planned for every
-- row of a search, over all partitions of a week.
CREATE OR REPLACE FUNCTION handed_on_from(
    host text, queue_id text, message_id text, client_name text, client_address text, arrived_at timestamptz
)
RETURNS text LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
DECLARE
    claim record;
    earlier_id text;
    earlier boolean;
BEGIN
    IF client_name IS NULL THEN
        RETURN NULL;
    END IF;
    FOR claim IN EXECUTE $query$
        SELECT t.arrived_at, t.queue_id, t.host, t.relay
        FROM delivery_to t
        WHERE t.queued_as = $1 AND t.last_attempt_at BETWEEN $2 AND $3 AND t.arrived_at BETWEEN $4 AND $3
            AND (t.host, t.queue_id) <> ($5, $1)
        ORDER BY t.last_attempt_at
    $query$
    USING queue_id, arrived_at - interval '10 minutes', arrived_at + interval '10 minutes',
        arrived_at - interval '7 days', host
    LOOP
        EXECUTE $query$
            SELECT true, p.message_id FROM delivery_from p WHERE p.arrived_at = $1 AND p.queue_id = $2 AND p.host = $3
        $query$ INTO earlier, earlier_id USING claim.arrived_at, claim.queue_id, claim.host;
        IF earlier AND is_hop(
            claim.host, claim.queue_id, earlier_id, claim.relay, host, NULL, message_id, client_name, client_address
        ) THEN
            RETURN claim.queue_id;
        END IF;
    END LOOP;
    RETURN NULL;
END
$$;

-- Without statistics of a new day the planner takes indexes by chance, and a batch of the sink seconds instead of
-- milliseconds; autovacuum comes a minute later. The sink asks for them with its owner's rights, as for the partition.
CREATE FUNCTION analyze_partition(partition regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE pg_catalog.format('ANALYZE (SKIP_LOCKED) %s', partition);
END
$$;

CREATE FUNCTION analyze_day_partition(table_name text, day date) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT analyze_partition(c.oid::regclass)
    FROM (
        VALUES ('delivery_from', 'delivery_from'::regclass), ('delivery_to', 'delivery_to'::regclass)
    ) AS t (name, parent)
    JOIN pg_inherits AS i ON i.inhparent = t.parent
    JOIN pg_class AS c ON c.oid = i.inhrelid
    WHERE t.name = analyze_day_partition.table_name
        AND c.relname = t.name || '_' || to_char(analyze_day_partition.day, 'YYYYMMDD');
END;

REVOKE EXECUTE ON FUNCTION analyze_day_partition(text, date) FROM PUBLIC;
