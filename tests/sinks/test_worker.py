"""The stage as a whole, with a real Kafka and a real PostgreSQL: nothing lost, nothing twice, nothing in the way."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from journal_postfix import topics as broker_topics
from journal_postfix.local import EmbeddedDatabase
from schemas.dead_letters import MAX_KEY, DeadLetter, decode_dead_letter
from schemas.deliveries import delivery_key, encode_record, message_key
from schemas.errors import ConfigurationError, TryAgainLaterError
from schemas.kafka import NOTHING_LOST
from schemas.settings import DatabaseSettings, KafkaSettings, Settings
from schemas.topics import Topics, topics_of
from schemas.watermarks import watermarks
from sinks import reading, reading_errors, worker
from sinks.migrating import migrate

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]

PATIENCE = 40.0
MOST_IN_A_ROW = Settings().sink.bad_records_in_a_row


@pytest.fixture
def settings(migrated: DatabaseSettings, kafka_settings: KafkaSettings) -> Settings:
    kafka = kafka_settings.model_copy(update={"partitions": 2})
    sink = Settings().sink.model_copy(update={"group": f"{kafka.topic_prefix}sink", "batch_rows": 500})
    settings = Settings(database=migrated, kafka=kafka, sink=sink)
    broker_topics.make(settings)
    return settings


@pytest.fixture
def topics(settings: Settings) -> Topics:
    return topics_of(settings.kafka, settings.stream)


class Stream:
    """Writes what a stream stage would, in transactions, each third of which is aborted."""

    def __init__(self, settings: Settings, rows: Any) -> None:
        self.topics = topics_of(settings.kafka, settings.stream)
        self.rows = rows
        self._producer = Producer(
            {
                "bootstrap.servers": settings.kafka.bootstrap_servers,
                "transactional.id": settings.kafka.topic_prefix,
                **NOTHING_LOST,
            }
        )
        self._producer.init_transactions(30)
        self.messages = 0

    def send(self, count: int) -> None:
        """Write *count* messages, each with a recipient, first deferred, then sent."""
        first, self.messages = self.messages, self.messages + count
        for commit in (False, True, True):
            self._producer.begin_transaction()
            for number in range(first, self.messages):
                self._send_one(number, "deferred" if commit and number % 2 else "sent")
            if commit:
                self._producer.commit_transaction(30)
            else:
                self._producer.flush()
                self._producer.abort_transaction(30)

    def send_raw(self, topic: str, *values: bytes, partition: int = 0, key: bytes = b"key") -> None:
        self._producer.begin_transaction()
        for value in values:
            self._producer.produce(topic, value, key, partition)
        self._producer.commit_transaction(30)

    def _send_one(self, number: int, status: str) -> None:
        queue_id, partition = f"{number:010X}", number % 2
        message = self.rows.message(queue_id=queue_id, sender=f"{number}@example.org")
        delivery = self.rows.delivery(queue_id=queue_id, status=status)
        self._producer.produce(self.topics.delivery_from.name, encode_record(message), message_key(message), partition)
        self._producer.produce(self.topics.delivery_to.name, encode_record(delivery), delivery_key(delivery), partition)
        self._producer.poll(0)


@pytest.fixture
def stream(settings: Settings, rows: Any) -> Stream:
    return Stream(settings, rows)


class Sink:
    """The stage in a thread."""

    def __init__(self, settings: Settings) -> None:
        self.stop = threading.Event()
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(settings,), daemon=True)
        self._thread.start()

    def _run(self, settings: Settings) -> None:
        try:
            worker.run(settings, self.stop)
        except BaseException as error:  # noqa: BLE001 - handed to the test
            self.error = error

    def end(self) -> BaseException | None:
        """Stop it, and return what it raised."""
        self.stop.set()
        return self.join()

    def join(self) -> BaseException | None:
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
        return self.error


@pytest.fixture
def start() -> Iterator[Callable[[Settings], Sink]]:
    sinks: list[Sink] = []

    def start(settings: Settings) -> Sink:
        sinks.append(Sink(settings))
        return sinks[-1]

    yield start
    for sink in sinks:
        sink.stop.set()
        sink.join()


def ends(settings: Settings) -> dict[tuple[str, int], int]:
    """Where the topics end that a sink reads."""
    topics = topics_of(settings.kafka, settings.stream)
    # A read-committed consumer would be told where the last transaction ends whose markers are written: too early.
    consumer = Consumer(
        {
            "bootstrap.servers": settings.kafka.bootstrap_servers,
            "group.id": "unused",
            "isolation.level": "read_uncommitted",
        }
    )
    found = {
        (topic.name, number): watermarks(consumer, topic.name, number, 15)[1]
        for topic in (topics.delivery_from, topics.delivery_to, topics.noqueue)
        for number in range(topic.partitions)
    }
    consumer.close()
    return found


def reached(settings: Settings, query: Any, sinks: tuple[Any, ...] = ()) -> None:
    """Wait until all that the topics hold is stored."""
    wanted = ends(settings)
    deadline = time.monotonic() + PATIENCE
    while True:
        stored = {
            (topic, number): after
            for topic, number, after in query("SELECT topic, partition, next_offset FROM sink_positions")
        }
        if all(stored.get(partition, -1) >= end for partition, end in wanted.items()):
            return
        assert time.monotonic() < deadline, f"stored {stored}, wanted {wanted}"
        assert [sink.error for sink in sinks if sink.error] == []
        time.sleep(0.05)  # what is waited for is another process's transaction


def holds(query: Any, stream: Stream) -> None:
    """Every message is there once, and every delivery with the attempts that it had."""
    assert query("SELECT count(*), count(DISTINCT sender) FROM delivery_from") == [(stream.messages, stream.messages)]
    odd = stream.messages // 2
    assert query("SELECT status, attempts, count(*) FROM delivery_to GROUP BY 1, 2 ORDER BY 1") == [
        ("deferred", 1, odd),
        ("sent", 1, stream.messages - odd),
    ]


def letters(settings: Settings, topics: Topics, count: int) -> list[DeadLetter]:
    """All dead letters; at least *count*."""
    consumer = Consumer(
        {"bootstrap.servers": settings.kafka.bootstrap_servers, "group.id": "unused", "enable.partition.eof": True}
    )
    consumer.assign([TopicPartition(topics.dead_letter.name, 0, 0)])
    found = []
    while (message := consumer.poll(15)) is not None and message.error() is None:
        found.append(decode_dead_letter(message.value()))
    consumer.close()
    assert len(found) >= count
    return found


@contextmanager
def process(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    """Run the stage as a process of its own."""
    program = (
        "import sys, threading; from schemas.settings import Settings; from sinks.worker import run; "
        "run(Settings.model_validate_json(sys.stdin.read()), threading.Event())"
    )
    started = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert started.stdin is not None
    with started, started.stdin:
        given = settings.model_dump(mode="json")
        given["database"]["password"] = settings.database.secret()
        started.stdin.write(json.dumps(given).encode())
        started.stdin.close()
        yield started
        started.send_signal(signal.SIGCONT)
        started.kill()


def test_what_the_topics_hold_is_stored_up_to_their_very_ends(
    settings: Settings, stream: Stream, query: Any, start: Any
) -> None:
    stream.send(300)
    sink = start(settings)
    reached(settings, query, (sink,))
    stream.send(1)
    reached(settings, query, (sink,))
    holds(query, stream)
    assert sink.end() is None


def test_killed_at_any_moment_it_loses_nothing_and_stores_nothing_twice(
    settings: Settings, stream: Stream, query: Any
) -> None:
    stream.send(1)
    for kill in range(3):
        with process(settings) as sink:
            seen = query("SELECT coalesce(sum(next_offset), 0) FROM sink_positions")
            stream.send(2000)
            while query("SELECT coalesce(sum(next_offset), 0) FROM sink_positions") == seen:
                assert sink.poll() is None, f"ended by itself in round {kill}"
            sink.kill()
            sink.wait()
    with process(settings):
        reached(settings, query)
    holds(query, stream)


def test_one_that_was_frozen_and_replaced_changes_nothing_when_it_wakes(
    settings: Settings, stream: Stream, query: Any, start: Any
) -> None:
    stream.send(500)
    with process(settings) as frozen:
        reached(settings, query)
        frozen.send_signal(signal.SIGSTOP)
        stream.send(500)
        other = start(settings)
        reached(settings, query, (other,))
        frozen.send_signal(signal.SIGCONT)
        stream.send(500)
        reached(settings, query, (other,))
        assert frozen.poll() is None
    holds(query, stream)


def test_one_that_finds_another_position_starts_afresh_there(
    settings: Settings, stream: Stream, topics: Topics, query: Any, start: Any
) -> None:
    stream.send(100)
    sink = start(settings)
    reached(settings, query, (sink,))
    query("UPDATE sink_positions SET next_offset = 0")
    query("DELETE FROM delivery_from")
    stream.send(100)
    reached(settings, query, (sink,))
    holds(query, stream)
    assert topics.delivery_from.name in {topic for (topic,) in query("SELECT topic FROM sink_positions")}


def test_sinks_come_and_go(settings: Settings, stream: Stream, query: Any, start: Any) -> None:
    first = start(settings)
    stream.send(1000)
    second = start(settings)
    stream.send(1000)
    reached(settings, query, (first, second))
    assert first.end() is None
    stream.send(1000)
    reached(settings, query, (second,))
    holds(query, stream)


def test_bad_records_become_dead_letters_and_their_neighbours_are_stored(
    settings: Settings, stream: Stream, query: Any, start: Any
) -> None:
    def record(number: int, **fields: Any) -> bytes:
        return encode_record(stream.rows.message(queue_id=f"{number:X}", **fields))

    bad = [b"\xff", record(1, sender="\0"), record(2, size=2**70), b"{}", record(3, arrived_at="never")]
    good = [record(number) for number in range(100, 104)]
    stream.send_raw(
        stream.topics.delivery_from.name, *(value for pair in zip(bad, [*good, good[0]], strict=True) for value in pair)
    )
    sink = start(settings)
    reached(settings, query, (sink,))
    assert sink.end() is None
    assert query("SELECT count(*) FROM delivery_from") == [(4,)]
    found = sorted(letters(settings, stream.topics, 5), key=lambda letter: letter.offset or 0)
    assert [(letter.stage, letter.topic, letter.offset, letter.value) for letter in found] == [
        ("sink", stream.topics.delivery_from.name, 2 * place, value) for place, value in enumerate(bad)
    ]
    assert all(letter.reason for letter in found)


def test_a_bad_record_with_a_large_key_is_a_dead_letter_that_its_topic_takes(
    settings: Settings, stream: Stream, query: Any, start: Any
) -> None:
    stream.send_raw(stream.topics.delivery_from.name, b"bad", key=b"k" * 900_000)
    reached(settings, query, (start(settings),))
    [letter] = letters(settings, stream.topics, 1)
    assert (letter.key, letter.value) == (b"k" * MAX_KEY, b"bad")


def test_many_bad_records_that_lie_apart_do_not_halt_it(
    settings: Settings, stream: Stream, query: Any, start: Any
) -> None:
    values = [
        v for n in range(MOST_IN_A_ROW + 20) for v in (b"bad", encode_record(stream.rows.message(queue_id=f"{n:X}")))
    ]
    stream.send_raw(stream.topics.delivery_from.name, *values)
    sink = start(settings)
    reached(settings, query, (sink,))
    assert query("SELECT count(*) FROM delivery_from") == [(MOST_IN_A_ROW + 20,)]


@pytest.mark.parametrize(
    "bad", [(how, rows) for how in ("unreadable", "refused by PostgreSQL") for rows in (10, 500)], ids=str
)
def test_nothing_but_bad_records_halts_it(
    settings: Settings, stream: Stream, query: Any, start: Any, bad: tuple[str, int]
) -> None:
    how, batch_rows = bad
    value = b"bad" if how == "unreadable" else encode_record(stream.rows.message(sender="\0"))
    stream.send_raw(stream.topics.delivery_from.name, *[value] * 300)
    few = settings.model_copy(update={"sink": settings.sink.model_copy(update={"batch_rows": batch_rows})})
    error = start(few).join()
    assert isinstance(error, ConfigurationError)
    assert "in a row can't be stored" in str(error)
    skipped = query(
        "SELECT next_offset FROM sink_positions WHERE topic = %s AND partition = 0", stream.topics.delivery_from.name
    )
    assert not skipped or skipped[0][0] <= MOST_IN_A_ROW
    assert len(letters(settings, stream.topics, 0)) <= MOST_IN_A_ROW
    written = letters(settings, stream.topics, 0)
    again = start(few).join()  # what a supervisor does
    assert isinstance(again, ConfigurationError)
    assert letters(settings, stream.topics, 0) == written
    passing = settings.model_copy(
        update={"sink": settings.sink.model_copy(update={"batch_rows": batch_rows, "bad_records_in_a_row": 300})}
    )
    sink = start(passing)
    reached(settings, query, (sink,))
    assert sink.end() is None
    assert {letter.offset for letter in letters(settings, stream.topics, 300)} == set(range(300))


def test_it_outlives_its_connection(settings: Settings, stream: Stream, query: Any, start: Any) -> None:
    sink = start(settings)
    reached(settings, query, (sink,))
    for _ in range(3):
        stream.send(500)
        query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND datname = current_database()"
        )
    reached(settings, query, (sink,))
    holds(query, stream)


@contextmanager
def querying(database: DatabaseSettings) -> Iterator[Any]:
    connection = psycopg2.connect(**database.connection_parameters())
    connection.autocommit = True

    def run(statement: str, *parameters: Any) -> Any:
        with connection.cursor() as cursor:
            cursor.execute(statement, parameters or None)
            return cursor.fetchall()

    try:
        yield run
    finally:
        connection.close()


def test_it_outlives_the_database_and_what_happens_to_the_group_meanwhile(
    settings: Settings, stream: Stream, data_dir: Any, start: Any, topics: Topics
) -> None:
    with EmbeddedDatabase(data_dir, Settings()) as server:
        there = settings.model_copy(update={"database": server.settings})
        migrate(there)
        stream.send(500)
        sink = start(there)
        with querying(server.settings) as query:
            reached(there, query, (sink,))
        server.kill()
        stream.send(500)
        with querying(settings.database) as query:
            other = start(settings)  # its database is another one: it takes partitions, and gives them back
            while query("SELECT count(*) FROM sink_positions") == [(0,)]:
                assert other.error is None
        assert other.end() is None
        server.start()
        with querying(server.settings) as query:
            reached(there, query, (sink,))
            holds(query, stream)
        assert sink.end() is None
    assert letters(settings, topics, 0) == []


def test_a_position_beyond_the_topics_end_is_no_silent_jump(
    settings: Settings, stream: Stream, topics: Topics, query: Any, start: Any
) -> None:
    stream.send(10)
    sink = start(settings)
    reached(settings, query, (sink,))
    assert sink.end() is None
    query("UPDATE sink_positions SET next_offset = 1000000 WHERE topic = %s AND partition = 1", topics.delivery_to.name)
    error = start(settings).join()
    assert isinstance(error, ConfigurationError)
    assert f"{topics.delivery_to.name}[1] was written up to offset 1000000" in str(error)
    assert "sink_positions" in str(error)


def test_a_topic_that_was_made_anew_and_grew_past_the_position_is_no_silent_jump(
    settings: Settings, stream: Stream, query: Any, start: Any
) -> None:
    stream.send(10)
    sink = start(settings)
    reached(settings, query, (sink,))
    assert sink.end() is None
    topic = stream.topics.noqueue
    admin = AdminClient({"bootstrap.servers": settings.kafka.bootstrap_servers})
    admin.delete_topics([topic.name])[topic.name].result()
    while topic.name in admin.list_topics(timeout=10).topics:
        time.sleep(0.1)
    admin.create_topics([NewTopic(topic.name, topic.partitions, 1)])[topic.name].result()
    stream.send(1000)

    error = start(settings).join()

    assert isinstance(error, ConfigurationError)
    assert f"{topic.name}[0] was written up to offset" in str(error)
    assert "another topic of that name" in str(error)
    query("DELETE FROM sink_positions WHERE topic = %s", topic.name)  # as the message says
    reached(settings, query, (start(settings),))


def test_a_position_from_before_topics_had_ids_is_gone_on_from(
    settings: Settings, stream: Stream, query: Any, start: Any
) -> None:
    stream.send(10)
    sink = start(settings)
    reached(settings, query, (sink,))
    assert sink.end() is None
    query("UPDATE sink_positions SET topic_id = NULL")
    stream.send(10)

    reached(settings, query, (start(settings),))

    moved = "SELECT DISTINCT length(topic_id) FROM sink_positions WHERE topic = %s AND topic_id IS NOT NULL"
    assert query(moved, stream.topics.delivery_to.name) == [(22,)]


def test_a_topic_that_is_deleted_while_it_runs_ends_it(
    settings: Settings, stream: Stream, query: Any, start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_METADATA_MS", 1000)
    monkeypatch.setattr(reading_errors, "_MOST_SECONDS", 2)
    name = stream.topics.noqueue.name
    stream.send(10)
    sink = start(settings)
    reached(settings, query, (sink,))
    admin = AdminClient({"bootstrap.servers": settings.kafka.bootstrap_servers})
    admin.delete_topics([name])[name].result()
    error = sink.join()
    assert isinstance(error, TryAgainLaterError)
    assert f"{name} can't be read" in str(error)
    missing = start(settings).join()
    assert isinstance(missing, ConfigurationError)
    assert f"missing topics: {name}" in str(missing)


def test_records_that_retention_took_before_they_were_stored_are_no_silent_jump(
    settings: Settings, stream: Stream, topics: Topics, query: Any, start: Any
) -> None:
    sink = start(settings)
    reached(settings, query, (sink,))
    assert sink.end() is None
    stream.send(10)
    admin = AdminClient({"bootstrap.servers": settings.kafka.bootstrap_servers})
    for future in admin.delete_records([TopicPartition(topics.delivery_from.name, 0, 3)]).values():
        future.result(15)
    error = start(settings).join()
    assert isinstance(error, ConfigurationError)
    assert "retention" in str(error)


def test_a_stop_does_not_wait_for_a_lock_for_ever(
    settings: Settings, stream: Stream, query: Any, start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_STOP_SECONDS", 0.3)
    holder = psycopg2.connect(**settings.database.connection_parameters())
    with holder.cursor() as cursor:
        cursor.execute("LOCK TABLE sink_positions")
        stream.send(10)
        sink = start(settings)
        blocked = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        while query(blocked) == [(0,)]:
            assert sink.error is None
        assert sink.end() is None
    holder.close()


def test_who_waits_for_a_lock_gives_signs_of_life(
    settings: Settings, stream: Stream, query: Any, start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_WAIT_SECONDS", 0.1)
    sink = start(settings)
    reached(settings, query, (sink,))
    holder = psycopg2.connect(**settings.database.connection_parameters())
    looks: list[str] = []

    def look() -> bool:
        looks.append(threading.current_thread().name)
        return False

    with holder.cursor() as cursor:
        cursor.execute("LOCK TABLE sink_positions")
        stream.send(10)
        time.sleep(1)  # it reads them, and what it writes waits
        stream.send(10)
        time.sleep(1)  # it reads these too, and waits to write them
        sink.stop.is_set = look  # type: ignore[method-assign]
        time.sleep(2)
        del sink.stop.is_set
    holder.close()
    assert len([name for name in looks if name != "sink-stop"]) > 5
    reached(settings, query, (sink,))
    assert sink.end() is None


def test_a_database_without_tables_asks_for_migrate(settings: Settings, query: Any) -> None:
    query("DROP TABLE schema_migrations")
    with pytest.raises(ConfigurationError, match="journal-postfix migrate"):
        worker.run(settings, threading.Event())


def test_missing_topics_are_named(settings: Settings) -> None:
    kafka = settings.kafka.model_copy(update={"topic_prefix": "never-made."})
    with pytest.raises(ConfigurationError, match=r"never-made\.noqueue"):
        worker.run(settings.model_copy(update={"kafka": kafka}), threading.Event())


def test_rights_that_were_taken_are_told(
    settings: Settings, stream: Stream, query: Any, start: Any, topics: Topics
) -> None:
    query("ALTER TABLE delivery_to RENAME COLUMN relay TO gone")
    stream.send(10)
    error = start(settings).join()
    assert isinstance(error, ConfigurationError)
    assert letters(settings, topics, 0) == []


def test_a_broker_that_is_away_is_told_in_a_line(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_ANSWER_SECONDS", 1)
    kafka = settings.kafka.model_copy(update={"bootstrap_servers": "127.0.0.1:1"})
    with pytest.raises(TryAgainLaterError, match=r"127\.0\.0\.1:1"):
        worker.run(settings.model_copy(update={"kafka": kafka}), threading.Event())
