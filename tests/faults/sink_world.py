"""A sink stage under load, sinks of which may come to harm, and the tables as an undisturbed run would have them.

The oracle: tables are a function of the records, so what belongs there is written once, in order, to another database.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import psycopg2
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition
from faults.stream_world import first_half, second_half
from faults.tally import Tally

from journal_postfix import topics as broker_topics
from journal_postfix.supervision.environment import environment_of
from schemas.kafka import NOTHING_LOST
from schemas.keys import key_of, partition_of
from schemas.raw import RawBatch, RawLine, StreamPosition
from schemas.settings import DatabaseSettings, KafkaSettings, Settings, SinkSettings
from schemas.topics import topics_of
from schemas.watermarks import watermarks
from sinks.batches import Batch
from sinks.migrating import migrate
from sinks.writing import Writer
from streams.state import PartitionState

STOP_SECONDS: Final = 20
SESSION_SECONDS: Final = 6.0
"""How long a sink may be silent here before its partitions go to another: as short as Kafka allows."""
SECOND_HALF_AFTER: Final = 300
MESSAGES_AT_ONCE: Final = 10
PARTITIONS: Final = 4
TABLES: Final = ("delivery_from", "delivery_to", "noqueue", "tls_sessions")
COMMAND: Final = (sys.executable, "-m", "journal_postfix", "sink")


def world_settings(kafka: KafkaSettings, database: DatabaseSettings) -> Settings:
    """Return settings of a sink with small transactions, whose topics are made."""
    sink = SinkSettings(
        group=f"{kafka.topic_prefix}sink", batch_rows=200, batch_ms=50, session_timeout_seconds=SESSION_SECONDS
    )
    settings = Settings(kafka=kafka.model_copy(update={"partitions": PARTITIONS}), database=database, sink=sink)
    broker_topics.make(settings)
    return settings


class Records(threading.Thread):
    """Writes, at a steady rate, what a stream stage would, and remembers it."""

    def __init__(self, settings: Settings, messages_per_second: int) -> None:
        super().__init__(daemon=True)
        self.topics: Final = topics_of(settings.kafka, settings.stream)
        self.outputs: Final = {topic.name for topic in self.topics.outputs()}
        self.written: list[tuple[str, bytes, bytes | None]] = []
        """Topic, key and value of each record, in order."""
        self._states = [PartitionState(number, self.topics, settings.stream) for number in range(PARTITIONS)]
        self._producer = Producer(
            {"bootstrap.servers": settings.kafka.bootstrap_servers, **NOTHING_LOST, "log_level": 0}
        )
        self._pause = MESSAGES_AT_ONCE / messages_per_second
        self._messages = 0
        self._lock, self._ended = threading.Lock(), threading.Event()

    def run(self) -> None:
        while not self._ended.wait(self._pause):
            self.more()

    def more(self, count: int = MESSAGES_AT_ONCE) -> None:
        """Write so many messages more, and what became of older ones; return when Kafka has all of it."""
        with self._lock:
            for number in range(self._messages, self._messages + count):
                self._merge(first_half(number))
                if number >= SECOND_HALF_AFTER:
                    self._merge(second_half(number - SECOND_HALF_AFTER))
            self._messages += count
            for number, state in enumerate(self._states):
                for write in state.checkpoint():
                    if write.topic in self.outputs:
                        place = number if write.partition is None else write.partition
                        self._producer.produce(write.topic, write.value, write.key, place)
                        self.written.append((write.topic, write.key, write.value))
            assert self._producer.flush(60) == 0

    def end(self) -> None:
        """Write no more."""
        self._ended.set()
        if self.ident is not None:
            self.join()

    def _merge(self, lines: list[RawLine]) -> None:
        by_partition: dict[int, list[RawLine]] = {}
        for line in lines:
            key = key_of("mx1", line.program, line.pid, line.text)
            by_partition.setdefault(partition_of(key, PARTITIONS), []).append(line)
        for number, some in by_partition.items():
            self._states[number].merge(RawBatch(host="mx1", source="s", position=StreamPosition(), lines=some))


class SinkWorld:
    """Sinks over one load and one database."""

    def __init__(self, settings: Settings, tally: Tally, folder: Path, watched: DatabaseSettings | None = None) -> None:
        """*watched*: how the test itself reaches the database, where the sinks go another way."""
        self.settings, self.tally, self._folder = settings, tally, folder
        self.records = Records(settings, messages_per_second=100)
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.may_end: set[int] = set()
        """Exit codes of sinks that are started again, as a supervisor does."""
        self._watched = watched or settings.database
        self._started = 0

    def start(self, *command: str) -> str:
        """Start a sink, the command line or *command*; return its name."""
        self._started += 1
        name = f"sink-{self._started}"
        with (self._folder / f"{name}.log").open("wb") as log:
            self.running[name] = subprocess.Popen(
                command or COMMAND, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=environment_of(self.settings, os.environ),
            )  # fmt: skip
        return name

    def kill(self, name: str) -> None:
        process = self.running.pop(name)
        process.kill()
        process.wait()

    def stop(self, name: str) -> float:
        """End it cleanly, once it has begun; return the seconds that it took."""
        process, began = self.running.pop(name), time.monotonic()
        while b"sink stage starts" not in (self._folder / f"{name}.log").read_bytes():  # until then no signal is caught
            assert process.poll() is None, self.story()
            assert time.monotonic() - began < STOP_SECONDS, self.story()
            threading.Event().wait(0.05)
        asked = time.monotonic()
        process.terminate()
        assert process.wait(STOP_SECONDS) == 0, self.story()
        return time.monotonic() - asked

    def run_for(self, seconds: float) -> None:
        """Let the load go on."""
        threading.Event().wait(seconds)
        self.tend()

    def tend(self) -> None:
        """Start those again that ended as they may; fail for any other."""
        for name, process in list(self.running.items()):
            code = process.poll()
            if code is not None:
                assert code in self.may_end, f"{name} ended with {code}\n{self.story()}"
                del self.running[name]
                self.start()

    def stored(self) -> dict[tuple[str, int], int]:
        """Return the positions that the database has."""
        rows = self.query("SELECT topic, partition, next_offset FROM sink_positions")
        return {(topic, number): offset for topic, number, offset in rows}

    def passed(self, seconds: float = 90) -> float:
        """Wait until all that is written by now is stored; return the seconds."""
        began, wanted = time.monotonic(), self.ends()
        while True:
            stored: dict[tuple[str, int], int] = {}
            with suppress(psycopg2.OperationalError):  # it may just be starting
                stored = self.stored()
            if all(stored.get(place, 0) >= end for place, end in wanted.items()):
                return time.monotonic() - began
            assert time.monotonic() - began < seconds, f"stored {stored}, wanted {wanted}\n{self.story()}"
            self.run_for(0.05)

    def ends(self) -> dict[tuple[str, int], int]:
        """Return where the topics end."""
        consumer = Consumer({"bootstrap.servers": self.settings.kafka.bootstrap_servers, "group.id": "unused"})
        with closing(consumer):
            return {
                (topic, number): watermarks(consumer, topic, number, 20)[1]
                for topic in self.records.outputs
                for number in range(PARTITIONS)
            }

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Ask the database of the sinks."""
        return ask(self._watched, statement)

    def query_nothing(self, statement: str) -> None:
        """Change the database of the sinks."""
        self.query(statement)

    def command(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run a command of ours with the sinks' settings."""
        return subprocess.run(
            [sys.executable, "-m", "journal_postfix", *words], env=environment_of(self.settings, os.environ),
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    def dead_letters(self) -> int:
        """Return how many there are."""
        name = self.records.topics.dead_letter.name
        consumer = Consumer({"bootstrap.servers": self.settings.kafka.bootstrap_servers, "group.id": "unused"})
        with closing(consumer):
            consumer.assign([TopicPartition(name, 0, OFFSET_BEGINNING)])
            return watermarks(consumer, name, 0, 20)[1]

    def peak_megabytes(self) -> float:
        """Return the most memory that a sink which runs now ever had."""
        peaks = [0.0]
        for process in self.running.values():
            with suppress(OSError):
                text = Path(f"/proc/{process.pid}/status").read_text()
                peaks.append(int(text.split("VmHWM:")[1].split()[0]) / 1024)
        return max(peaks)

    def said(self, name: str) -> str:
        """Return what a sink said."""
        return (self._folder / f"{name}.log").read_text(errors="replace")

    def story(self) -> str:
        """Return what the sinks said, the latest of each."""
        return "\n".join(
            f"{log.name}: {log.read_text(errors='replace')[-1500:]}" for log in sorted(self._folder.glob("*.log"))
        )

    def settle(self, other: DatabaseSettings, letters: int = 0) -> None:
        """Compare all tables with those of *other*, an empty database that is given the same records in order.

        *letters* dead letters are the test's own, and were looked at there.
        """
        self.records.end()
        self.passed()
        migrate(self.settings.model_copy(update={"database": other}))
        undisturbed = self.settings.model_copy(update={"database": other})
        writer = Writer(undisturbed)
        batch = Batch()
        for topic, key, value in self.records.written:
            if value is None and batch:
                writer.write(batch, {})
                batch = Batch()
            batch.add(self.records.topics, topic, key, value)
        writer.write(batch, {})
        writer.close()
        for table in TABLES:
            rows = f"SELECT t::text FROM {table} t"
            found, wanted = self.query(rows), ask(other, rows)
            self.tally.compare_counts(table, found, wanted)
        self.tally.compare("dead letters", dict.fromkeys(range(self.dead_letters() if letters == 0 else 0)), {})
        self.tally.notes.append(f"{len(self.records.written):,} records")
        self.tally.settle()


def ask(database: DatabaseSettings, statement: str) -> list[tuple[Any, ...]]:
    """Return the rows of a query, over a connection of its own."""
    with closing(psycopg2.connect(**database.connection_parameters())) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []


@contextmanager
def sink_world(
    settings: Settings, tally: Tally, folder: Path, watched: DatabaseSettings | None = None
) -> Iterator[SinkWorld]:
    """Run a load, and clean up whatever sinks are left."""
    world = SinkWorld(settings, tally, folder, watched)
    world.records.more()  # so that a sink which has stored it all has begun
    world.records.start()
    try:
        yield world
    finally:
        world.records.end()
        for process in world.running.values():
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()
