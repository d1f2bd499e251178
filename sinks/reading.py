"""Reads the output topics from where the database is; knows which partitions are this sink's, and what is not written.

Kafka's group only divides the partitions: where to begin stands in the database, and is asked for by the loop, not in
the group's calls, since the database may be away.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import msgspec
import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from schemas.errors import TryAgainLaterError
from schemas.figures import Figure
from schemas.kafka import client_config, quiet
from schemas.kafka_refusals import Complaints, metadata, missing_topics
from schemas.settings import Settings
from schemas.topic_ids import MADE_ANEW, is_another, topic_ids
from schemas.topics import Topics
from schemas.watermarks import watermarks
from sinks.lags import Lags
from sinks.reading_errors import LastingErrors, Partition, position_lost
from sinks.writing import Position, Positions

log = structlog.get_logger()

_ANSWER_SECONDS: Final = 15
_METADATA_MS: Final = 30_000
"""How soon topics that were deleted, and partitions that were added, are noticed."""
GLANCE_SECONDS: Final = 0.1
"""How long one look for records lasts; also how often a stop is noticed."""


class HandedOver(msgspec.Struct, frozen=True):
    """What records that are being written cover."""

    offsets: dict[Partition, int]
    """To which of each partition they lead."""
    times: dict[Partition, float]
    """When Kafka got the last one of each, seconds since 1970."""


class Reader:
    """The consumer of one sink."""

    def __init__(
        self, settings: Settings, topics: Topics, stop: threading.Event, before_revoked: Callable[[], None]
    ) -> None:
        """Read nothing yet. *before_revoked* is called when partitions may go to another sink."""
        self._settings, self._stop, self._before_revoked = settings, stop, before_revoked
        self._names = [topic.name for topic in topics.outputs()]
        self._complaints = Complaints(settings.kafka)
        self._reading = False
        """Whether it has begun: before that, trouble ends it."""
        self._consumer = Consumer(
            {
                **client_config(settings.kafka, settings.sink.group),
                "group.id": settings.sink.group,
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "session.timeout.ms": int(settings.sink.session_timeout_seconds * 1000),
                "heartbeat.interval.ms": int(settings.sink.session_timeout_seconds * 1000 / 5),
                "queued.max.messages.kbytes": 32 * 1024,
                "fetch.wait.max.ms": 100,
                "topic.metadata.refresh.interval.ms": _METADATA_MS,
                # A slot's messages and their recipients, in partitions of one number, go to one sink.
                "partition.assignment.strategy": "range",
                "error_cb": self._complain,
                "logger": quiet,
            },
        )
        self.placed = True
        """Whether reading of the assigned partitions has begun where the database is."""
        self.records: list[Any] = []
        """Those that are not handed over yet."""
        self._assigned: list[TopicPartition] = []
        self._expected: dict[Partition, int | None] = {}
        self._next: dict[Partition, int] = {}
        self._at_end: set[Partition] = set()
        self._topic_ids: dict[str, str] = {}
        self._last: dict[Partition, Any] = {}
        """The last record read of each partition, for its time."""
        self._lags = Lags()
        self._lasting = LastingErrors()

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()

    def join(self) -> None:
        """Join the group. Raises ConfigurationError for topics that are not there, TryAgainLaterError."""
        self._check_topics()
        self._consumer.subscribe(self._names, on_assign=self._on_assign, on_revoke=self._on_revoke)
        self._reading = True

    def place(self, positions: Mapping[Partition, Position]) -> dict[Partition, int]:
        """Begin to read the assigned partitions at *positions*, from the beginning where there is none.

        Returns how many records of each could not be stored, one after the other, before that. Raises
        ConfigurationError for a position that Kafka lost.
        """
        config = client_config(self._settings.kafka, self._settings.sink.group)
        self._topic_ids = topic_ids(config, self.topics, _ANSWER_SECONDS)
        places = []
        runs: dict[Partition, int] = {}
        for partition in self._assigned:
            key = (partition.topic, partition.partition)
            position, runs[key], topic_id = positions.get(key, (None, 0, None))
            self._expected[key] = position
            self._lags.begin(key, position)
            if position is not None:
                if is_another(topic_id, self._topic_ids.get(partition.topic)):
                    raise position_lost(key, position, MADE_ANEW)
                low, high = watermarks(self._consumer, *key, _ANSWER_SECONDS)
                if not low <= position <= high:
                    raise position_lost(key, position, f"the topic has {low} to {high}")
            places.append(TopicPartition(*key, OFFSET_BEGINNING if position is None else position))
        self._consumer.assign(places)
        self.placed = True
        log.info("partitions assigned", count=len(places))
        return runs

    @property
    def topics(self) -> list[str]:
        """The topics of the assigned partitions."""
        return sorted({partition.topic for partition in self._assigned})

    def read(self) -> None:
        """Gather records until the batch is full, has waited long enough, or all partitions are read to their end."""
        limits = self._settings.sink
        deadline = time.monotonic() + limits.batch_ms / 1000
        while len(self.records) < limits.batch_rows and self.placed and not self._stop.is_set():
            left = deadline - time.monotonic()
            if left <= 0 or (self._at_end.issuperset(self._expected) and self.moved()):
                return
            room = limits.batch_rows - len(self.records)
            found: list[Any] = self._consumer.consume(room, min(left, GLANCE_SECONDS))
            for record in found:
                self._take(record)

    def moved(self) -> dict[Partition, Positions]:
        """Return what `records` cover."""
        return {
            partition: Positions(self._expected[partition], after, topic_id=self._topic_ids.get(partition[0]))
            for partition, after in self._next.items()
            if after != self._expected[partition]
        }

    def hand_over(self, positions: Mapping[Partition, Positions]) -> HandedOver:
        """Let go of `records`, which cover *positions*: they are being written."""
        times = {at: record.timestamp()[1] / 1000 for at, record in self._last.items()}
        self.records, self._last = [], {}
        offsets = {partition: position.next for partition, position in positions.items()}
        self._expected |= offsets
        return HandedOver(offsets, times)

    def written(self, covered: HandedOver) -> None:
        """Note what was committed, also for tools that show the lag of the group; nothing depends on that."""
        self._lags.stored(covered.offsets, covered.times)
        offsets = [TopicPartition(*at, offset) for at, offset in covered.offsets.items() if at in self._expected]
        if offsets:
            self._consumer.commit(offsets=offsets, asynchronous=True)

    def look_after(self) -> bool:
        """Measure the lags; tell whether to start afresh. Raises TryAgainLaterError where reading fails for long."""
        self._lags.measure(self._consumer)
        return self._lasting.check()

    def start_afresh(self) -> None:
        """Forget what was read; reading begins again where the database is."""
        self._forget()
        self._consumer.assign([])
        self.placed = False

    def stay(self) -> None:
        """Stay in the group, a moment longer, after `start_afresh`."""
        self._lags.measure(self._consumer, ask=True)
        self._consumer.poll(GLANCE_SECONDS)  # nothing is being read: this only keeps the group's calls going

    def figures(self) -> Iterator[Figure]:
        """Yield what there is to tell; for any thread."""
        yield from self._lags.figures()

    def _check_topics(self) -> None:
        try:
            found = metadata(self._consumer, self._complaints, _ANSWER_SECONDS).topics
        except KafkaException as error:
            servers = self._settings.kafka.bootstrap_servers
            raise TryAgainLaterError(
                f"no answer from Kafka at {servers}: {self._complaints.reason(error.args[0])}; is it running there, "
                "and is kafka.security_protocol right?"
            ) from error
        if missing := [name for name in self._names if name not in found]:
            config = client_config(self._settings.kafka, self._settings.sink.group)
            raise missing_topics(config, missing, _ANSWER_SECONDS)

    def _complain(self, error: KafkaError) -> None:
        self._complaints(error)
        if self._reading:
            log.warning("trouble with Kafka, which is tried on", why=error.str())

    def _take(self, record: Any) -> None:
        partition = (record.topic(), record.partition())
        error = record.error()
        if error is None:
            if partition in self._expected:
                self.records.append(record)
                self._last[partition] = record
                self._next[partition] = record.offset() + 1
                self._at_end.discard(partition)
                self._lasting.well(partition[0])
        elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - librdkafka's name for it
            if partition in self._expected:  # past the markers of transactions, too
                self._next[partition] = max(record.offset(), self._next.get(partition, 0))
                self._at_end.add(partition)
                self._lasting.well(partition[0])
        elif error.code() in {KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET}:  # noqa: SLF001
            raise position_lost(partition, self._expected.get(partition), "it is out of the topic's range")
        elif error.fatal():
            raise TryAgainLaterError(f"reading stopped: {error.str()}")
        else:
            self._lasting.note(record.topic(), error)
            log.warning("reading", why=error.str())

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._forget()
        self._assigned, self.placed = partitions, False
        self._lags.keep([(at.topic, at.partition) for at in partitions])
        self._lasting.assigned()
        consumer.assign([])

    def _on_revoke(self, consumer: Consumer, _: list[TopicPartition]) -> None:
        self._before_revoked()
        self._forget()
        self._assigned, self.placed = [], True
        self._lags.keep(())
        consumer.unassign()

    def _forget(self) -> None:
        self.records, self._last, self._expected, self._next, self._at_end = [], {}, {}, {}, set()
