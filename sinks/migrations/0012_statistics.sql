-- Counts for statistics, kept by triggers in the transaction that changes what they count: exact after late lines, joined
-- parts, withdrawals, erasure and replays, whoever writes. sinks/counts.py takes away those of days that are purged.

CREATE TABLE delivery_counts (
    hour          timestamptz NOT NULL,
    host          text COLLATE "C" NOT NULL,
    status        text COLLATE "C" NOT NULL,
    reason        text COLLATE "C" NOT NULL,
    shard         smallint NOT NULL,
    deliveries    bigint NOT NULL,
    timed         bigint NOT NULL,
    delay_ms      bigint NOT NULL,
    within_1s     bigint NOT NULL,
    within_10s    bigint NOT NULL,
    within_1min   bigint NOT NULL,
    within_10min  bigint NOT NULL,
    within_1h     bigint NOT NULL,
    PRIMARY KEY (hour, host, status, reason, shard)
) WITH (fillfactor = 70);

CREATE TABLE message_counts (
    hour     timestamptz NOT NULL,
    host     text COLLATE "C" NOT NULL,
    fate     text COLLATE "C" NOT NULL,
    reason   text COLLATE "C" NOT NULL,
    shard    smallint NOT NULL,
    messages bigint NOT NULL,
    bytes    bigint NOT NULL,
    PRIMARY KEY (hour, host, fate, reason, shard)
) WITH (fillfactor = 70);

CREATE TABLE reject_counts (
    hour    timestamptz NOT NULL,
    host    text COLLATE "C" NOT NULL,
    action  text COLLATE "C" NOT NULL,
    reason  text COLLATE "C" NOT NULL,
    shard   smallint NOT NULL,
    rejects bigint NOT NULL,
    PRIMARY KEY (hour, host, action, reason, shard)
) WITH (fillfactor = 70);

CREATE TABLE trouble_counts (
    day        timestamptz NOT NULL,
    domain     text COLLATE "C" NOT NULL,
    trouble    text COLLATE "C" NOT NULL,
    shard      smallint NOT NULL,
    deliveries bigint NOT NULL,
    delay_ms   bigint NOT NULL,
    PRIMARY KEY (day, domain, trouble, shard)
) WITH (fillfactor = 70);

CREATE TABLE client_counts (
    day            timestamptz NOT NULL,
    client_address text COLLATE "C" NOT NULL,
    shard          smallint NOT NULL,
    rejects        bigint NOT NULL,
    PRIMARY KEY (day, client_address, shard)
) WITH (fillfactor = 70);

-- A number that no other transaction counts under until this one ends: no sink waits for another one's counts. The first
-- that is free, so that there are no more rows than sinks that write at once.
CREATE FUNCTION free_shard() RETURNS smallint LANGUAGE plpgsql AS $$
BEGIN
    FOR number IN 0..63 LOOP
        IF pg_try_advisory_xact_lock(726011537, number) THEN
            RETURN number;
        END IF;
    END LOOP;
    PERFORM pg_advisory_xact_lock(726011537, pg_backend_pid() % 64);
    RETURN pg_backend_pid() % 64;
END
$$;

-- What of a row is counted.
CREATE FUNCTION hour_of(moment timestamptz) RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN date_bin('1 hour', moment, '1970-01-01 00:00:00+00');

CREATE FUNCTION day_of(moment timestamptz) RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN date_bin('1 day', moment, '1970-01-01 00:00:00+00');

CREATE FUNCTION counted_status(status text, service text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN status = 'sent' AND (service = 'discard' OR service LIKE '%/discard') THEN 'discarded'
    ELSE status
END;

CREATE FUNCTION counted_trouble(status text, delay double precision) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN status NOT IN ('sent', 'deliverable', 'rejected') THEN status
    WHEN status = 'sent' AND delay >= 60 THEN 'slow'
END;

CREATE FUNCTION counted_domain(address text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN strpos(address, '@') > 0 THEN lower(split_part(address, '@', -1)) ELSE '' END;

CREATE FUNCTION counted_ms(delay double precision) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN delay IS NOT NULL THEN (least(greatest(delay, 0), 1e9) * 1000)::bigint END;

-- As message_status has it, but for what would have to be looked up: mail that was neither queued nor marked.
CREATE FUNCTION counted_fate(
    rejected_at timestamptz, discarded_at timestamptz, deleted_at timestamptz, expired_at timestamptz,
    cancelled_at timestamptz, held_at timestamptz, released_at timestamptz, removed_at timestamptz,
    queued_at timestamptz, origin smallint, client_name text, parent_queue_id text
) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN rejected_at IS NOT NULL THEN 'rejected'
    WHEN discarded_at IS NOT NULL THEN 'discarded'
    WHEN deleted_at IS NOT NULL THEN 'deleted'
    WHEN expired_at IS NOT NULL THEN 'expired'
    WHEN cancelled_at IS NOT NULL THEN 'cancelled'
    WHEN held_at IS NOT NULL AND removed_at IS NULL AND (released_at IS NULL OR held_at > released_at) THEN 'held'
    WHEN queued_at IS NOT NULL THEN 'queued'
    WHEN origin = 2 AND client_name IS NOT NULL AND parent_queue_id IS NULL THEN 'cancelled'
    ELSE 'queued'
END;

-- Writers wait until all that is there is counted; in the order in which sinks take the tables.
LOCK TABLE delivery_from, delivery_to, noqueue IN SHARE ROW EXCLUSIVE MODE;

-- Have a table counted by statements over {changed}: its rows with a sign, 1 for those that came, -1 for those that went.
-- A trigger of each kind of change has a function of its own, since it has the rows of that kind only.
CREATE FUNCTION pg_temp.keep_counts(counted text, statements text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    kind record;
BEGIN
    FOR kind IN VALUES
        ('insert', 'SELECT 1 AS sign, * FROM come', 'NEW TABLE AS come'),
        ('delete', 'SELECT -1 AS sign, * FROM gone', 'OLD TABLE AS gone'),
        (
            'update', 'SELECT 1 AS sign, * FROM come UNION ALL SELECT -1, * FROM gone',
            'OLD TABLE AS gone NEW TABLE AS come'
        )
    LOOP
        EXECUTE format(
            'CREATE FUNCTION count_%s_%s() RETURNS trigger LANGUAGE plpgsql AS %L', counted, kind.column1,
            format('DECLARE own_shard CONSTANT smallint := free_shard(); BEGIN %s RETURN NULL; END',
                replace(statements, '{changed}', kind.column2))
        );
        EXECUTE format(
            'CREATE TRIGGER count_%2$s AFTER %2$s ON %1$I REFERENCING %3$s '
            'FOR EACH STATEMENT EXECUTE FUNCTION count_%1$s_%2$s()', counted, kind.column1, kind.column3
        );
    END LOOP;
    EXECUTE format(
        'CREATE FUNCTION count_%s() RETURNS void LANGUAGE plpgsql AS %L', counted,
        format('DECLARE own_shard CONSTANT smallint := 0; BEGIN %s END',
            replace(statements, '{changed}', format('SELECT 1 AS sign, * FROM %I', counted)))
    );
END
$$;

SELECT pg_temp.keep_counts('delivery_to', $count$
    INSERT INTO delivery_counts AS known (
        hour, host, status, reason, shard, deliveries, timed, delay_ms, within_1s, within_10s, within_1min, within_10min,
        within_1h
    )
    SELECT
        hour, host, status, reason, own_shard, deliveries, timed, delay_ms, within_1s, within_10s, within_1min,
        within_10min, within_1h
    FROM (
        SELECT
            hour, host, status, reason, sum(number) AS deliveries,
            coalesce(sum(number) FILTER (WHERE span < 6), 0) AS timed, sum(ms) AS delay_ms,
            coalesce(sum(number) FILTER (WHERE span < 1), 0) AS within_1s,
            coalesce(sum(number) FILTER (WHERE span < 2), 0) AS within_10s,
            coalesce(sum(number) FILTER (WHERE span < 3), 0) AS within_1min,
            coalesce(sum(number) FILTER (WHERE span < 4), 0) AS within_10min,
            coalesce(sum(number) FILTER (WHERE span < 5), 0) AS within_1h
        FROM (
            -- Thousands of rows become a few here: what is above costs nothing.
            SELECT
                hour_of(arrived_at) AS hour, host, counted_status(status, service) AS status,
                coalesce(reason, '') AS reason,
                CASE
                    WHEN delay <= 1 THEN 0 WHEN delay <= 10 THEN 1 WHEN delay <= 60 THEN 2 WHEN delay <= 600 THEN 3
                    WHEN delay <= 3600 THEN 4 WHEN delay IS NOT NULL THEN 5 ELSE 6
                END AS span,
                sum(sign) AS number, coalesce(sum(sign * counted_ms(delay)), 0) AS ms
            FROM ({changed}) AS row
            GROUP BY 1, 2, 3, 4, 5
        ) AS spans
        GROUP BY hour, host, status, reason
    ) AS counted
    WHERE (deliveries, timed, delay_ms, within_1s, within_10s, within_1min, within_10min, within_1h)
        <> (0, 0, 0, 0, 0, 0, 0, 0)
    ON CONFLICT (hour, host, status, reason, shard) DO UPDATE SET
        deliveries = known.deliveries + excluded.deliveries,
        timed = known.timed + excluded.timed,
        delay_ms = known.delay_ms + excluded.delay_ms,
        within_1s = known.within_1s + excluded.within_1s,
        within_10s = known.within_10s + excluded.within_10s,
        within_1min = known.within_1min + excluded.within_1min,
        within_10min = known.within_10min + excluded.within_10min,
        within_1h = known.within_1h + excluded.within_1h;

    INSERT INTO trouble_counts AS known (day, domain, trouble, shard, deliveries, delay_ms)
    SELECT day, domain, trouble, own_shard, sum(sign), coalesce(sum(sign * ms), 0)
    FROM (
        SELECT
            sign, day_of(arrived_at) AS day, counted_domain(recipient) AS domain,
            counted_trouble(status, delay) AS trouble, counted_ms(delay) AS ms
        FROM ({changed}) AS row
        WHERE status <> 'sent' OR delay >= 60
        OFFSET 0
    ) AS delivery
    WHERE trouble IS NOT NULL
    GROUP BY day, domain, trouble
    HAVING sum(sign) <> 0 OR sum(sign * ms) <> 0
    ON CONFLICT (day, domain, trouble, shard) DO UPDATE SET
        deliveries = known.deliveries + excluded.deliveries, delay_ms = known.delay_ms + excluded.delay_ms;
$count$);

SELECT pg_temp.keep_counts('delivery_from', $count$
    INSERT INTO message_counts AS known (hour, host, fate, reason, shard, messages, bytes)
    SELECT hour, host, fate, reason, own_shard, sum(sign), coalesce(sum(sign * size), 0)
    FROM (
        SELECT
            sign, hour_of(arrived_at) AS hour, host,
            counted_fate(
                rejected_at, discarded_at, deleted_at, expired_at, cancelled_at, held_at, released_at, removed_at,
                queued_at, origin, client_name, parent_queue_id
            ) AS fate,
            coalesce(reject_reason, '') AS reason, size
        FROM ({changed}) AS row
        OFFSET 0
    ) AS message
    GROUP BY hour, host, fate, reason
    HAVING sum(sign) <> 0 OR sum(sign * size) <> 0
    ON CONFLICT (hour, host, fate, reason, shard) DO UPDATE SET
        messages = known.messages + excluded.messages, bytes = known.bytes + excluded.bytes;
$count$);

SELECT pg_temp.keep_counts('noqueue', $count$
    INSERT INTO reject_counts AS known (hour, host, action, reason, shard, rejects)
    SELECT hour, host, action, reason, own_shard, sum(sign)
    FROM (
        SELECT
            sign, hour_of(at) AS hour, host, action,
            coalesce(reason, '') AS reason
        FROM ({changed}) AS row
        OFFSET 0
    ) AS rejection
    GROUP BY hour, host, action, reason
    HAVING sum(sign) <> 0
    ON CONFLICT (hour, host, action, reason, shard) DO UPDATE SET rejects = known.rejects + excluded.rejects;

    INSERT INTO client_counts AS known (day, client_address, shard, rejects)
    SELECT day, client_address, own_shard, sum(sign)
    FROM (
        SELECT sign, day_of(at) AS day, client_address
        FROM ({changed}) AS row
        WHERE action IN ('reject', 'milter-reject', 'proxy-reject', 'hangup') AND client_address IS NOT NULL
        OFFSET 0
    ) AS rejection
    GROUP BY day, client_address
    HAVING sum(sign) <> 0
    ON CONFLICT (day, client_address, shard) DO UPDATE SET rejects = known.rejects + excluded.rejects;
$count$);

-- Count all that is there anew: for who attaches partitions that were filled beside the tables.
CREATE FUNCTION recount() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    LOCK TABLE delivery_from, delivery_to, noqueue IN SHARE ROW EXCLUSIVE MODE;
    DELETE FROM delivery_counts;
    DELETE FROM trouble_counts;
    DELETE FROM message_counts;
    DELETE FROM reject_counts;
    DELETE FROM client_counts;
    PERFORM count_delivery_from(), count_delivery_to(), count_noqueue();
END
$$;

SELECT recount();

-- What became of mail otherwise than being sent, for searches by status; and deliveries that went badly, for the hours of
-- a window that trouble_counts, which has whole days, does not answer.
CREATE INDEX delivery_from_stopped ON delivery_from (arrived_at)
    WHERE held_at IS NOT NULL OR expired_at IS NOT NULL OR deleted_at IS NOT NULL;
CREATE INDEX delivery_from_unqueued ON delivery_from (arrived_at)
    WHERE queued_at IS NULL OR cancelled_at IS NOT NULL OR discarded_at IS NOT NULL OR rejected_at IS NOT NULL;
DROP INDEX delivery_to_unsent;
CREATE INDEX delivery_to_unusual ON delivery_to (status, arrived_at) WHERE status <> 'sent' OR delay >= 60;
CREATE INDEX delivery_to_discarded ON delivery_to (arrived_at)
    WHERE status = 'sent' AND (service = 'discard' OR service LIKE '%/discard');

COMMENT ON TABLE delivery_counts IS
    'Deliveries, counted: by the hour in which their message arrived, host, status as logged and reason. Sum over shard.';
COMMENT ON COLUMN delivery_counts.hour IS 'Its beginning; hours are those of UTC.';
COMMENT ON COLUMN delivery_counts.host IS 'Mail host that logged it.';
COMMENT ON COLUMN delivery_counts.status IS
    'As delivery_to.status; discarded where the discard service took it. What was expired, deleted or held counts as it '
    'was logged last, mostly deferred.';
COMMENT ON COLUMN delivery_counts.reason IS 'As delivery_to.reason; empty for none.';
COMMENT ON COLUMN delivery_counts.shard IS
    'Keeps sinks that write at the same time apart: a count is the sum of all shards, and one of them may be negative.';
COMMENT ON COLUMN delivery_counts.deliveries IS 'How many.';
COMMENT ON COLUMN delivery_counts.timed IS 'Of how many the delay is known.';
COMMENT ON COLUMN delivery_counts.delay_ms IS 'Sum of those delays, from arrival to the latest attempt, in milliseconds.';
COMMENT ON COLUMN delivery_counts.within_1s IS 'How many of those took a second or less.';
COMMENT ON COLUMN delivery_counts.within_10s IS 'How many took 10 seconds or less.';
COMMENT ON COLUMN delivery_counts.within_1min IS 'How many took a minute or less.';
COMMENT ON COLUMN delivery_counts.within_10min IS 'How many took 10 minutes or less.';
COMMENT ON COLUMN delivery_counts.within_1h IS 'How many took an hour or less.';

COMMENT ON TABLE message_counts IS
    'Messages, counted: by hour of arrival, host, what became of them as a whole, and why. Sum over shard.';
COMMENT ON COLUMN message_counts.hour IS 'Its beginning; hours are those of UTC.';
COMMENT ON COLUMN message_counts.host IS 'Mail host that logged it.';
COMMENT ON COLUMN message_counts.fate IS
    'rejected, discarded, deleted, expired, cancelled, held; or queued: taken, its deliveries say the rest. Mail that an '
    'access table held or discarded before it had a queue id counts as cancelled.';
COMMENT ON COLUMN message_counts.reason IS 'As delivery_from.reject_reason; empty for none.';
COMMENT ON COLUMN message_counts.shard IS 'As in delivery_counts.';
COMMENT ON COLUMN message_counts.messages IS 'How many.';
COMMENT ON COLUMN message_counts.bytes IS 'Sum of their sizes.';

COMMENT ON TABLE reject_counts IS
    'Rejections without a queue id (noqueue), counted: by hour, host, action and reason. Sum over shard.';
COMMENT ON COLUMN reject_counts.hour IS 'Its beginning; hours are those of UTC.';
COMMENT ON COLUMN reject_counts.host IS 'Mail host that logged it.';
COMMENT ON COLUMN reject_counts.action IS 'As noqueue.action.';
COMMENT ON COLUMN reject_counts.reason IS 'As noqueue.reason; empty for none.';
COMMENT ON COLUMN reject_counts.shard IS 'As in delivery_counts.';
COMMENT ON COLUMN reject_counts.rejects IS 'How many.';

COMMENT ON TABLE trouble_counts IS
    'Deliveries that failed or were slow, counted: by day of arrival and the recipient''s domain. Sum over shard.';
COMMENT ON COLUMN trouble_counts.day IS 'Its beginning; days are those of UTC.';
COMMENT ON COLUMN trouble_counts.domain IS 'Domain of the recipient, in lower case; empty where there is none.';
COMMENT ON COLUMN trouble_counts.trouble IS
    'As delivery_to.status; slow: sent, a minute or more after arrival. What we refused (rejected) is not counted.';
COMMENT ON COLUMN trouble_counts.shard IS 'As in delivery_counts.';
COMMENT ON COLUMN trouble_counts.deliveries IS 'How many.';
COMMENT ON COLUMN trouble_counts.delay_ms IS 'Sum of their delays, as far as they are known, in milliseconds.';

COMMENT ON TABLE client_counts IS
    'Rejections without a queue id (noqueue), counted: by day and client. Sum over shard.';
COMMENT ON COLUMN client_counts.day IS 'Its beginning; days are those of UTC.';
COMMENT ON COLUMN client_counts.client_address IS 'As noqueue.client_address.';
COMMENT ON COLUMN client_counts.shard IS 'As in delivery_counts.';
COMMENT ON COLUMN client_counts.rejects IS 'How many were refused; what was only held, discarded or warned about is not.';
