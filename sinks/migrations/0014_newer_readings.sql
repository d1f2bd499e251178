-- Of two readings of one line the newer parser's counts, for messages as for deliveries: a replay puts rows right, and an
-- older parser never puts them wrong again.

ALTER TABLE delivery_from
    ADD COLUMN parser bigint NOT NULL DEFAULT 0,
    ADD COLUMN older  text COLLATE "C";

COMMENT ON COLUMN delivery_from.parser IS 'Version of the newest parser that read a line of the message.';
COMMENT ON COLUMN delivery_from.older IS
    'Columns whose value an older parser read, each with its version, such as client_name:1 sender:2; none: all are of '
    'the version in parser.';

-- schemas.merging.readings: which version of the parser read a column.
CREATE FUNCTION reading_version(parser bigint, older text, field text) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN older IS NULL THEN parser
        ELSE coalesce(least(substring(older FROM '\m' || field || ':(\d{1,9})')::bigint, parser), parser) END
$$;

-- The value that counts of two, of which each may be missing.
CREATE FUNCTION newer_reading(
    ours anyelement, our_parser bigint, our_older text, theirs anyelement, their_parser bigint, their_older text, field text
) RETURNS anyelement LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN theirs IS NULL THEN ours
        WHEN ours IS NULL THEN theirs
        WHEN reading_version(our_parser, our_older, field) > reading_version(their_parser, their_older, field) THEN ours
        WHEN reading_version(our_parser, our_older, field) < reading_version(their_parser, their_older, field) THEN theirs
        ELSE greatest(ours, theirs)
    END
$$;

-- The entry of a column in `older` of the merged row; empty where its value is of the newest parser, or missing.
CREATE FUNCTION older_reading(
    field text, our_parser bigint, our_older text, our_value boolean, their_parser bigint, their_older text,
    their_value boolean
) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN version < greatest(our_parser, their_parser) THEN ' ' || field || ':' || version
        ELSE ''
    END
    FROM (
        SELECT greatest(
            CASE WHEN our_value THEN reading_version(our_parser, our_older, field) END,
            CASE WHEN their_value THEN reading_version(their_parser, their_older, field) END
        ) AS version
    ) AS read
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
            -- Of the readings of one line, the newest parser's.
            SELECT DISTINCT ON (attempt_line(entry) COLLATE "C") entry
            FROM unnest(entries) AS entry
            WHERE attempt_line(entry) <> attempt_line(latest)
            ORDER BY
                attempt_line(entry) COLLATE "C",
                split_part(entry, E'\t', 2) = '0',
                split_part(split_part(entry, E'\t', 3), '.', 2) COLLATE "C" DESC,
                entry COLLATE "C" DESC
        ) AS lines
    ) AS earlier
    WHERE newest_first <= 200
$$;
