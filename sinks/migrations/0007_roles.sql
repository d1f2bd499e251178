-- Roles beside the tables' owner: one for the sink, one that only reads (sinks/roles.py).

-- Who was given what, so that each migration gives it again for what it makes anew.
CREATE TABLE granted_roles (
    role text COLLATE "C" PRIMARY KEY,
    work text COLLATE "C" NOT NULL CHECK (work IN ('sink', 'reader'))
);

-- What the days of a table are called and kept in. Tables are held by their identity: whoever calls has no say in what
-- their names mean, and they may be renamed or moved to another schema.
CREATE FUNCTION attach_day_partition(parent regclass, later regclass, time_column text, day date)
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    schema_name name;
    table_name name;
    made text;
    first_moment CONSTANT text := day::text || ' 00:00:00+00';
    next_moment CONSTANT text := (day + 1)::text || ' 00:00:00+00';
BEGIN
    SELECT n.nspname, c.relname INTO STRICT schema_name, table_name
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.oid = parent;
    table_name := table_name || '_' || pg_catalog.to_char(day, 'YYYYMMDD');
    made := pg_catalog.format('%I.%I', schema_name, table_name);
    -- Keeps two makers apart: PostgreSQL's own IF NOT EXISTS does not.
    PERFORM pg_catalog.pg_advisory_xact_lock(7260115372);
    IF pg_catalog.to_regclass(made) IS NOT NULL THEN
        RETURN false;
    END IF;
    -- Others must not write rows of the day there between their move and ATTACH, which looks for some.
    EXECUTE pg_catalog.format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', later);
    EXECUTE pg_catalog.format('CREATE TABLE %s (LIKE %s INCLUDING ALL)', made, parent);
    EXECUTE pg_catalog.format(
        'WITH moved AS (DELETE FROM %s WHERE %I >= %L AND %I < %L RETURNING *) INSERT INTO %s SELECT * FROM moved',
        later, time_column, first_moment, time_column, next_moment, made
    );
    EXECUTE pg_catalog.format(
        'ALTER TABLE %s ATTACH PARTITION %s FOR VALUES FROM (%L) TO (%L)', parent, made, first_moment, next_moment
    );
    RETURN true;
END
$$;

-- The one thing that the sink does with its owner's rights: give a day its partition of one of our tables. Days are those
-- of the last year and some, and of two months ahead: nobody fills the database with empty tables through it.
CREATE FUNCTION make_day_partition(table_name text, day date) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO'
BEGIN ATOMIC
    SELECT attach_day_partition(t.parent, t.later, t.time_column, make_day_partition.day)
    FROM (
        VALUES
            ('delivery_from', 'delivery_from'::regclass, 'delivery_from_later'::regclass, 'arrived_at'),
            ('delivery_to', 'delivery_to'::regclass, 'delivery_to_later'::regclass, 'arrived_at'),
            ('noqueue', 'noqueue'::regclass, 'noqueue_later'::regclass, 'at'),
            ('tls_sessions', 'tls_sessions'::regclass, 'tls_sessions_later'::regclass, 'at')
    ) AS t (name, parent, later, time_column)
    WHERE t.name = make_day_partition.table_name
        AND make_day_partition.day BETWEEN first_partition_day() AND (now() AT TIME ZONE 'UTC')::date + 61;
END;

REVOKE EXECUTE ON FUNCTION make_day_partition(text, date) FROM PUBLIC;
