-- Messages, their recipients, rejections without a queue id, and how far the topics were read.
--
-- Columns are the fields of schemas.deliveries. Text is in byte order, as the merge rules in Python have it. Keys begin
-- with the time: inserts stay local, days can be left out of a search, newest first costs nothing.

CREATE TABLE delivery_from (
    arrived_at        timestamptz NOT NULL,
    queue_id          text COLLATE "C" NOT NULL,
    host              text COLLATE "C" NOT NULL,
    origin            smallint NOT NULL,
    sender            text COLLATE "C",
    size              bigint,
    recipient_count   bigint,
    message_id        text COLLATE "C",
    resent_message_id text COLLATE "C",
    client_name       text COLLATE "C",
    client_address    text COLLATE "C",
    client_port       bigint,
    sasl_method       text COLLATE "C",
    sasl_username     text COLLATE "C",
    sasl_sender       text COLLATE "C",
    uid               bigint,
    service           text COLLATE "C",
    instance          text COLLATE "C",
    pid               bigint,
    helo              text COLLATE "C",
    protocol          text COLLATE "C",
    orig_queue_id     text COLLATE "C",
    orig_client       text COLLATE "C",
    parent_queue_id   text COLLATE "C",
    parent_reason     text COLLATE "C",
    queued_at         timestamptz,
    removed_at        timestamptz,
    expired_at        timestamptz,
    deleted_at        timestamptz,
    held_at           timestamptz,
    released_at       timestamptz,
    requeued_at       timestamptz,
    cancelled_at      timestamptz,
    discarded_at      timestamptz,
    discard_reply     text COLLATE "C",
    rejected_at       timestamptz,
    reject_stage      text COLLATE "C",
    reject_reply      text COLLATE "C",
    PRIMARY KEY (arrived_at, queue_id, host)
) PARTITION BY RANGE (arrived_at);

CREATE TABLE delivery_to (
    arrived_at       timestamptz NOT NULL,
    queue_id         text COLLATE "C" NOT NULL,
    host             text COLLATE "C" NOT NULL,
    recipient        text COLLATE "C" NOT NULL,
    orig_recipient   text COLLATE "C" NOT NULL,
    origin           smallint NOT NULL,
    last_attempt_at  timestamptz NOT NULL,
    status           text COLLATE "C" NOT NULL,
    number           bigint NOT NULL,
    service          text COLLATE "C" NOT NULL,
    dsn              text COLLATE "C" NOT NULL,
    relay            text COLLATE "C" NOT NULL,
    reply            text COLLATE "C" NOT NULL,
    delay            double precision,
    delays           text COLLATE "C",
    connection_use   bigint,
    tls              text COLLATE "C",
    queued_as        text COLLATE "C",
    next_queue_id    text COLLATE "C",
    stage            text COLLATE "C",
    first_attempt_at timestamptz NOT NULL,
    attempts         bigint NOT NULL,
    history          text[] NOT NULL,
    PRIMARY KEY (arrived_at, queue_id, host, recipient, orig_recipient)
) PARTITION BY RANGE (arrived_at);

CREATE TABLE noqueue (
    at             timestamptz NOT NULL,
    host           text COLLATE "C" NOT NULL,
    digest         text COLLATE "C" NOT NULL,
    service        text COLLATE "C" NOT NULL,
    instance       text COLLATE "C" NOT NULL,
    pid            bigint NOT NULL,
    action         text COLLATE "C" NOT NULL,
    stage          text COLLATE "C" NOT NULL,
    client_name    text COLLATE "C",
    client_address text COLLATE "C",
    client_port    bigint,
    code           bigint,
    dsn            text COLLATE "C",
    reply          text COLLATE "C" NOT NULL,
    sender         text COLLATE "C",
    recipient      text COLLATE "C",
    protocol       text COLLATE "C",
    helo           text COLLATE "C",
    sasl_username  text COLLATE "C",
    PRIMARY KEY (at, host, digest)
) PARTITION BY RANGE (at);

CREATE TABLE sink_positions (
    topic       text COLLATE "C" NOT NULL,
    partition   integer NOT NULL,
    next_offset bigint NOT NULL,
    updated_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (topic, partition)
) WITH (fillfactor = 50);

-- What the searches ask for.
CREATE INDEX delivery_from_queue_id ON delivery_from (queue_id, arrived_at);
CREATE INDEX delivery_from_sender ON delivery_from (sender, arrived_at);
CREATE INDEX delivery_from_sender_domain ON delivery_from (lower(substring(sender FROM '@([^@]*)$')), arrived_at);
CREATE INDEX delivery_from_message_id ON delivery_from USING hash (message_id) WHERE message_id <> '';
CREATE INDEX delivery_from_client_address ON delivery_from (client_address, arrived_at);
CREATE INDEX delivery_from_client_name ON delivery_from (client_name, arrived_at);
CREATE INDEX delivery_from_parent ON delivery_from (parent_queue_id, arrived_at) WHERE parent_queue_id IS NOT NULL;
CREATE INDEX delivery_from_orig ON delivery_from (orig_queue_id, arrived_at) WHERE orig_queue_id IS NOT NULL;
-- Rows whose origin was not seen: they may be part of another message of their slot.
CREATE INDEX delivery_from_part ON delivery_from (arrived_at) WHERE origin = 0;

CREATE INDEX delivery_to_recipient ON delivery_to (recipient, arrived_at);
CREATE INDEX delivery_to_orig_recipient ON delivery_to (orig_recipient, arrived_at) WHERE orig_recipient <> '';
CREATE INDEX delivery_to_recipient_domain ON delivery_to (lower(substring(recipient FROM '@([^@]*)$')), arrived_at);
CREATE INDEX delivery_to_unsent ON delivery_to (status, arrived_at) WHERE status <> 'sent';
CREATE INDEX delivery_to_queued_as ON delivery_to (queued_as, last_attempt_at) WHERE queued_as IS NOT NULL;

CREATE INDEX noqueue_recipient ON noqueue (recipient, at);
CREATE INDEX noqueue_sender ON noqueue (sender, at);
CREATE INDEX noqueue_client_address ON noqueue (client_address, at);

-- Every time has a partition, also one that a broken clock made up: days from `first_partition_day` to a few days from
-- now get one of their own; what is older is in *_earlier, what is later in the default one, *_later, from which it
-- moves when its day comes (sinks/day_partitions.py).
DO $$
DECLARE
    first_day CONSTANT date := (now() AT TIME ZONE 'UTC')::date - 400;
    parent text;
BEGIN
    EXECUTE format(
        'CREATE FUNCTION first_partition_day() RETURNS date LANGUAGE sql IMMUTABLE AS %L', format('SELECT date %L', first_day)
    );
    FOREACH parent IN ARRAY ARRAY['delivery_from', 'delivery_to', 'noqueue'] LOOP
        EXECUTE format(
            'CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (MINVALUE) TO (%L)',
            parent || '_earlier', parent, first_day::text || ' 00:00:00+00'
        );
        EXECUTE format('CREATE TABLE %I PARTITION OF %I DEFAULT', parent || '_later', parent);
    END LOOP;
END
$$;
