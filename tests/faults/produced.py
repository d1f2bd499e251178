"""Producers as processes of their own, and what they wrote: every line once or more, none invented, in order."""

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from faults.tally import Tally

from journal_postfix.supervision.environment import environment_of
from producers.batching import Batching
from producers.clock import Clock
from producers.intake import Intake
from producers.origins import Origins
from producers.relevance import Relevance
from schemas.errors import BadRecordError
from schemas.keys import key_of
from schemas.raw import Position, RawBatch, RawLine, decode_batch, decode_position
from schemas.settings import Settings
from schemas.topics import topics_of
from schemas.watermarks import watermarks

STOP_SECONDS: Final = 20


class Line(NamedTuple):
    """What makes a line another than all others, in the rows that come of it too."""

    host: str
    raw: RawLine


class Produced:
    """What was written to the topics of *settings*, read on with each call."""

    def __init__(self, settings: Settings) -> None:
        """Read from the topics' beginnings."""
        topics = topics_of(settings.kafka, settings.stream)
        self.batches: list[tuple[int, RawBatch]] = []
        """Every batch with its partition, in order within each."""
        self._counted: Counter[Line] = Counter()
        self.positions: dict[str, Position] = {}
        """The latest saved one of each source."""
        self.dead = 0
        """Dead letters."""
        self._topics = (topics.raw.name, topics.positions.name, topics.dead_letter.name)
        self._consumer = Consumer(
            {
                "bootstrap.servers": settings.kafka.bootstrap_servers,
                "group.id": "check",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
            }
        )
        self._parts = [
            TopicPartition(topic, partition, OFFSET_BEGINNING)
            for topic in self._topics
            for partition in self._consumer.list_topics(topic, timeout=30).topics[topic].partitions
        ]

    def read(self) -> "Produced":
        """Take everything that is there now; positions first, so that they are never newer than the lines."""
        self.read_positions()
        self._read([part for part in self._parts if part.topic != self._topics[1]])
        return self

    def read_positions(self) -> None:
        """Take the positions that are there now."""
        self._read([part for part in self._parts if part.topic == self._topics[1]])

    def counted(self) -> Counter[Line]:
        """Return how often each line was written."""
        return self._counted

    def by_key(self) -> dict[bytes, list[Line]]:
        """Return the lines of each key in the order in which each came first."""
        found: dict[bytes, dict[Line, None]] = {}
        for _, batch in self.batches:
            for raw in batch.lines:
                key = key_of(batch.host, raw.program, raw.pid, raw.text)
                found.setdefault(key, {})[Line(batch.host, raw)] = None
        return {key: list(lines) for key, lines in found.items()}

    def close(self) -> None:
        """Give the connection up."""
        self._consumer.close()

    def _read(self, parts: list[TopicPartition]) -> None:
        """Read up to what is the end now: a partition that grows all the time shows no other end."""
        ends = {}
        for part in parts:
            _, end = watermarks(self._consumer, part.topic, part.partition, 20)
            if end > max(part.offset, 0):
                ends[part.topic, part.partition] = (part, end)
        if not ends:
            return
        self._consumer.assign([part for part, _ in ends.values()])
        while ends:
            for message in self._consumer.consume(1000, 0.02):
                assert message.error() is None, message.error()
                topic, partition, offset = message.topic(), message.partition(), message.offset()
                if (topic, partition) not in ends or topic is None or partition is None or offset is None:
                    continue  # beyond what was the end
                part, end = ends[topic, partition]
                part.offset = offset + 1
                if part.offset >= end:
                    del ends[topic, partition]
                self._take(topic, partition, message.key() or b"", message.value() or b"")
        self._consumer.unassign()

    def _take(self, topic: str, partition: int, key: bytes, value: bytes) -> None:
        if topic == self._topics[0]:
            batch = decode_batch(value)
            self.batches.append((partition, batch))
            self._counted.update(Line(batch.host, raw) for raw in batch.lines)
        elif topic == self._topics[1]:
            with suppress(BadRecordError):  # a test wrote it
                self.positions[key.decode()] = decode_position(value).position
        else:
            self.dead += 1


def compare(tally: Tally, what: str, found: Produced, wanted: Produced) -> None:
    """Count what is missing of *wanted* or differs: lines by what they are, and their order within each key."""
    have, want = found.counted(), wanted.counted()
    tally.compare(f"{what}: lines", dict.fromkeys(have, 1), dict.fromkeys(want, 1))
    tally.compare(f"{what}: order within keys", found.by_key(), wanted.by_key())


def lines_of(settings: Settings, content: bytes) -> set[Line]:
    """Return the lines that *content*, whole lines of a log, is made of."""
    found: set[Line] = set()
    batching = Batching(
        settings.producer, 1, lambda bucket: found.update(Line(bucket.host, raw) for raw in bucket.lines)
    )
    intake = Intake(
        clock=Clock(settings.producer.zone(), now=datetime.now(UTC)),
        batching=batching,
        origins=Origins(batching, Relevance(settings.producer.programs), settings.producer.host or ""),
        longest=settings.producer.max_line_bytes,
        bury=lambda _line, _offset: None,
    )
    intake.take(content)
    batching.close_all()
    return found


def sent_again(found: Produced) -> int:
    """Return how many lines were written more than once: what a row does not show."""
    return sum(count - 1 for count in found.counted().values())


@contextmanager
def producer(
    settings: Settings, log: Path, *words: str | Path, inside: tuple[str, ...] = ()
) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``journal-postfix produce WORDS`` until the block ends; what it says is appended to *log*."""
    command = [*inside, sys.executable, "-m", "journal_postfix", "produce", *map(str, words)]
    with log.open("ab") as said:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, env=environment_of(settings, os.environ)
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def ended(process: subprocess.Popen[bytes]) -> float:
    """Ask *process* to end, and return the seconds that it took; it has STOP_SECONDS."""
    asked = time.monotonic()
    process.terminate()
    process.wait(STOP_SECONDS)
    return time.monotonic() - asked


def eventually(condition: Callable[[], object], seconds: float = 60, what: str = "it did not come about") -> float:
    """Wait until *condition* returns something true; return the seconds that it took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, what
        time.sleep(0.02)  # a poll: what is waited for happens in other processes
    return time.monotonic() - began
