"""Records that can't be read, and rows that PostgreSQL refuses: one dead letter each, and all others stored."""

import sys
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

import pytest
from confluent_kafka import Message, Producer
from faults.sink_world import SinkWorld, ask, sink_world, world_settings
from faults.tally import Tally

from journal_postfix.dead_letters import Wanted, letters
from schemas.dead_letters import MAX_VALUE
from schemas.deliveries import DeliveryFrom, DeliveryTo, delivery_key, encode_record, message_key
from schemas.settings import DatabaseSettings, KafkaSettings

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]

AT = "2026-11-22T06:00:00.000000Z"
BATCH = 5_000
UNREADABLE = (b"", b"\xff", b"{", b"[]", b"{}", b'{"version": 99}', b'"' + b"x" * 300_000 + b'"', b"null")


@pytest.fixture
def world(
    kafka_settings: KafkaSettings, migrated: DatabaseSettings, tally: Tally, tmp_path: Path
) -> Iterator[SinkWorld]:
    with sink_world(world_settings(kafka_settings, migrated), tally, tmp_path) as world:
        yield world


def message(number: int, **fields: object) -> DeliveryFrom:
    return DeliveryFrom(host="mx7", queue_id=f"{number:010X}", arrived_at=AT, origin=2, **fields)  # type: ignore[arg-type]


def refused(number: int) -> tuple[bytes, bytes]:
    """Return key and value of a row that reads well, and that no table takes."""
    rows = (message(number, sender="\0"), message(number, size=2**70), message(number, message_id="\ud800"))
    row = rows[number % 2]
    return message_key(row), encode_record(row)


@pytest.mark.fault("poison: output records that don't decode, among others", fast=8, long=24)
def test_records_that_do_not_decode_cost_their_neighbours_nothing(
    world: SinkWorld, tally: Tally, database: DatabaseSettings
) -> None:
    producer = Producer({"bootstrap.servers": world.settings.kafka.bootstrap_servers})
    name, topics = world.start(), world.records.topics
    world.passed()
    wanted = {}
    for number in range(tally.rounds):
        value = UNREADABLE[number % len(UNREADABLE)]
        topic = tally.chance.choice(topics.outputs())
        places: list[tuple[int | None, int | None]] = []

        def delivered(_: object, record: Message, at: list[tuple[int | None, int | None]] = places) -> None:
            at.append((record.partition(), record.offset()))

        producer.produce(topic.name, value, b"key", number % 4, on_delivery=delivered)
        assert producer.flush(30) == 0
        ((partition, offset),) = places
        wanted[topic.name, partition, offset] = value[:MAX_VALUE]
        tally.injected += 1
        if number % 3 == 0:
            world.run_for(tally.chance.uniform(0, 0.3))
            world.kill(name)  # perhaps between the letter and the commit: it may be written twice, and is one
            name = world.start()
        tally.recovered(world.passed())
    found = {
        (one.letter.topic, one.letter.partition, one.letter.offset): one.letter.value
        for one in letters(world.settings, Wanted(stage="sink"))
        if one.letter.reason
    }
    tally.compare("dead letters", found, wanted)
    world.settle(database, letters=len(wanted))


@pytest.mark.fault("poison: a row that PostgreSQL refuses in a batch of 5,000", fast=1, long=20)
def test_a_row_that_is_refused_takes_no_other_with_it(
    world: SinkWorld, tally: Tally, kafka_settings: KafkaSettings
) -> None:
    world.records.end()
    settings = world.settings = world.settings.model_copy(
        update={"sink": world.settings.sink.model_copy(update={"batch_rows": BATCH, "batch_ms": 5_000})}
    )
    producer = Producer({"bootstrap.servers": kafka_settings.bootstrap_servers, "linger.ms": 50})
    world.start()
    topic = world.records.topics.delivery_from.name
    for number in range(tally.rounds):
        bad, first = tally.chance.randrange(BATCH), number * BATCH
        for one in range(first, first + BATCH):
            row = message(one)
            key, value = refused(one) if one == first + bad else (message_key(row), encode_record(row))
            producer.produce(topic, value, key, 0)
        assert producer.flush(60) == 0
        tally.injected += 1
        tally.recovered(world.passed())
        ((stored,),) = world.query("SELECT count(*) FROM delivery_from WHERE host = 'mx7'")
        tally.compare("rows", {"stored": stored}, {"stored": (number + 1) * (BATCH - 1)})
        found = letters(settings, Wanted(stage="sink"))
        tally.compare("dead letters", {"written": len(found)}, {"written": number + 1})
    tally.settle()


@pytest.mark.fault("poison: nothing but rows that PostgreSQL refuses", fast=1, long=20)
def test_nothing_but_refused_rows_halts_the_stage_until_somebody_acts(
    world: SinkWorld, tally: Tally, database: DatabaseSettings
) -> None:
    limit, topic = world.settings.sink.bad_records_in_a_row, world.records.topics.delivery_to.name
    producer = Producer({"bootstrap.servers": world.settings.kafka.bootstrap_servers})
    world.start()
    world.passed()
    for number in range(tally.rounds):
        ask(world.settings.database, "DELETE FROM delivery_to WHERE host = 'mx7'; "
                                     "ALTER TABLE delivery_to ADD CONSTRAINT odd CHECK (queue_id < 'F')")  # fmt: skip
        rows = [
            DeliveryTo(host="mx7", queue_id=f"F{number:03X}{n:06X}", arrived_at=AT, origin=2, recipient="r@x.test",
                       last_attempt_at=AT, status="sent", first_attempt_at=AT)
            for n in range(20 * limit)
        ]  # fmt: skip
        for row in rows:
            producer.produce(topic, encode_record(row), delivery_key(row), number % 4)
        assert producer.flush(30) == 0
        tally.injected += 1
        for _ in range(2):  # what a supervisor does
            said = halted(world)
            assert "records in a row can't be stored" in said
            assert "Traceback" not in said
            assert len(letters(world.settings, Wanted())) <= limit
            world.start()
        halted(world)
        ask(world.settings.database, "ALTER TABLE delivery_to DROP CONSTRAINT odd")
        world.start()
        tally.recovered(world.passed())
        retried = world.command("dead-letters", "retry", "--all")
        assert retried.returncode == 0, retried.stderr
        stored = {queue_id for (queue_id,) in world.query("SELECT queue_id FROM delivery_to WHERE host = 'mx7'")}
        wanted = {row.queue_id for row in rows}
        tally.compare("rows", dict.fromkeys(stored), dict.fromkeys(wanted))
        assert letters(world.settings, Wanted()) == []
    world.query_nothing("DELETE FROM delivery_to WHERE host = 'mx7'")
    world.settle(database, letters=world.dead_letters())


def halted(world: SinkWorld) -> str:
    """Wait for the only sink's end, which says that a person has to act; return what it said."""
    ((name, process),) = world.running.items()
    assert process.wait(60) == 2, world.story()
    del world.running[name]
    return world.said(name)


@pytest.mark.fault("output topics replayed into the sink", fast=2, long=20)
def test_topics_that_are_replayed_leave_the_tables_as_they_are(
    world: SinkWorld, tally: Tally, database: DatabaseSettings
) -> None:
    name = world.start()
    world.records.more(400)
    world.passed()
    for number in range(tally.rounds):
        world.stop(name)
        world.query_nothing("DELETE FROM sink_positions")  # as after a new consumer group, or to process again
        if number % 2:
            world.records.more(50)
        tally.injected += 1
        name = world.start()
        tally.recovered(world.passed())
    world.settle(database)


CANARY = "canary-77a1e4-password"

BUG = """
import sys
from sinks.writing import Writer
from sinks.connecting import connect

def positions(self, topics):
    raise RuntimeError("a bug")

Writer.positions = positions
from journal_postfix.__main__ import main
sys.exit(main())
"""


@pytest.mark.fault("a password in the sink's settings, and trouble", fast=5, long=20)
def test_a_password_is_in_nothing_that_a_sink_says(
    kafka_settings: KafkaSettings, migrated: DatabaseSettings, tally: Tally, tmp_path: Path
) -> None:
    settings = world_settings(kafka_settings, migrated)
    database = settings.database.model_dump() | {"password": CANARY}
    broken_login = {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "PLAIN", "sasl_username": "sink",
                    "sasl_password": CANARY}  # fmt: skip
    away = {"host": "127.0.0.1", "port": 9}
    untrusted = {"sslmode": "verify-full", "sslrootcert": tmp_path / "none.pem"}
    troubles = {
        "no server": {"database": DatabaseSettings(**(database | away))},
        "no such database": {"database": DatabaseSettings(**(database | {"dbname": "nowhere"}))},
        "no TLS": {"database": DatabaseSettings(**(database | away | untrusted))},
        "no log-in": {"kafka": KafkaSettings(**(kafka_settings.model_dump() | broken_login))},
        "a bug": {"database": DatabaseSettings(**database)},
    }
    for number, (trouble, changed) in enumerate(islice(cycle(troubles.items()), tally.rounds)):
        folder = tmp_path / str(number)
        folder.mkdir()
        loud = settings.model_copy(update={**changed, "log_level": "debug"})
        world = SinkWorld(settings, tally, folder)
        world.settings = loud
        command = (sys.executable, "-c", BUG, "sink") if trouble == "a bug" else ()
        name = world.start(*command)
        process = world.running[name]
        process.wait(60)
        said = world.story()
        tally.injected += 1
        assert process.returncode not in {0, None}
        assert len(said) > len(name) + 20, "it said nothing"
        tally.compare(trouble, dict.fromkeys([CANARY] if CANARY in said else []), {})
    tally.notes.append(", ".join(troubles))
    tally.settle()
