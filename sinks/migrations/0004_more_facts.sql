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
