-- The merge rules of schemas/merging.py that are more than GREATEST and LEAST.

CREATE FUNCTION status_rank(status text) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE status
        WHEN 'rejected' THEN 0
        WHEN 'deferred' THEN 1
        WHEN 'bounced' THEN 3
        WHEN 'undeliverable' THEN 3
        WHEN 'sent' THEN 4
        WHEN 'deliverable' THEN 4
        ELSE 2
    END
$$;

-- schemas.merging.attempt_entry
CREATE FUNCTION attempt_entry(at timestamptz, status text, number bigint, dsn text, relay text, reply text)
RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || E'\t' || status_rank(status) || E'\t'
        || lpad(number::text, greatest(10, length(number::text)), '0') || E'\t' || status || E'\t' || dsn || E'\t'
        || relay || E'\t' || left(reply, 160)
$$;

-- schemas.merging.united_history
CREATE FUNCTION united_history(entries text[], latest text) RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce(array_agg(entry ORDER BY entry COLLATE "C"), '{}')
    FROM (
        SELECT
            entry,
            row_number() OVER (
                PARTITION BY split_part(entry, E'\t', 2) = '0' ORDER BY entry COLLATE "C" DESC
            ) AS newest_first
        FROM (SELECT DISTINCT unnest(entries) AS entry) AS all_entries
        WHERE entry <> latest
    ) AS earlier
    WHERE newest_first <= 200
$$;

-- schemas.merging.counted_attempts
CREATE FUNCTION counted_attempts(history text[], status text) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT least(200, count(*) FILTER (WHERE split_part(entry, E'\t', 2) <> '0') + (status <> 'rejected')::integer)
    FROM unnest(history) AS entry
$$;
