"""The process of the sink stage: reads the output topics, writes batches, knows from the database where it is."""

import threading
import time
from collections.abc import Iterable
from typing import Any, Final

import psycopg2
import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from schemas.errors import BadRecordError, ConfigurationError, TryAgainLaterError
from schemas.kafka import client_config
from schemas.settings import Settings
from schemas.topics import topics_of
from sinks.batches import Batch
from sinks.dead_letters import DeadLetters
from sinks.migrating import pending
from sinks.writing import REFUSALS, PositionMovedError, Positions, Writer

log = structlog.get_logger()

_ANSWER_SECONDS: Final = 15
_LONGEST_PAUSE: Final = 10.0
_LOST = (psycopg2.OperationalError, psycopg2.InterfaceError, SystemError)
"""The server went away, or asks to try again (deadlock, serialization): nothing is wrong with the rows."""

Partition = tuple[str, int]


def run(settings: Settings, stop: threading.Event) -> None:
    """Run the stage in this process until *stop* is set.

    Raises ConfigurationError (settings, migrations, lost positions, nothing but bad records) and TryAgainLaterError.
    """
    if missing := pending(settings):
        raise ConfigurationError(f"the database lacks migrations ({', '.join(missing)}): run `journal-postfix migrate`")
    sink = _Sink(settings, stop)
    try:
        sink.run()
    finally:
        sink.close()


class _Sink:
    def __init__(self, settings: Settings, stop: threading.Event) -> None:
        self._settings = settings
        self._stop = stop
        self._topics = topics_of(settings.kafka, settings.stream)
        self._writer = Writer(settings)
        self._letters = DeadLetters(settings, self._topics.dead_letter.name)
        self._consumer = Consumer(
            {
                **client_config(settings.kafka, settings.sink.group),
                "group.id": settings.sink.group,
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "session.timeout.ms": 10_000,
                "queued.max.messages.kbytes": 32 * 1024,
                "fetch.wait.max.ms": 100,
            }
        )
        self._expected: dict[Partition, int | None] = {}
        self._next: dict[Partition, int] = {}
        self._records: list[Any] = []
        self._failure: Exception | None = None

    def close(self) -> None:
        """Leave the group and the database."""
        self._consumer.close()
        self._writer.close()

    def run(self) -> None:
        """Read and write until told to stop."""
        names = [self._topics.delivery_from.name, self._topics.delivery_to.name, self._topics.noqueue.name]
        self._check_topics(names)
        self._consumer.subscribe(names, on_assign=self._assigned, on_revoke=self._revoked)
        log.info("sink stage starts", group=self._settings.sink.group)
        while not self._stop.is_set():
            self._read()
            self._write()

    def _check_topics(self, names: Iterable[str]) -> None:
        try:
            found = self._consumer.list_topics(timeout=_ANSWER_SECONDS).topics
        except KafkaException as error:
            servers = self._settings.kafka.bootstrap_servers
            raise TryAgainLaterError(f"no answer from Kafka at {servers}: {error.args[0].str()}") from error
        if missing := [name for name in names if name not in found]:
            raise ConfigurationError(f"missing topics: {', '.join(missing)}; make them with `journal-postfix topics`")

    def _read(self) -> None:
        """Gather records until the batch is full or has waited long enough; less long where nothing more is there."""
        limits = self._settings.sink
        deadline = time.monotonic() + limits.batch_ms / 1000
        while len(self._records) < limits.batch_rows and not self._stop.is_set():
            left = deadline - time.monotonic()
            if left <= 0:
                return
            found: list[Any] = self._consumer.consume(limits.batch_rows - len(self._records), min(left, 0.1))
            if self._failure is not None:
                raise self._failure
            for record in found:
                self._take(record)

    def _take(self, record: Any) -> None:
        partition = (record.topic(), record.partition())
        error = record.error()
        if error is None:
            if partition in self._expected:
                self._records.append(record)
                self._next[partition] = record.offset() + 1
        elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - librdkafka's name for it
            if partition in self._expected:  # past the markers of transactions, too
                self._next[partition] = max(record.offset(), self._next.get(partition, 0))
        elif error.code() in (KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET):  # noqa: SLF001
            raise _position_lost(partition, self._expected.get(partition), "it is out of the topic's range")
        elif error.fatal():
            raise TryAgainLaterError(f"reading stopped: {error.str()}")
        else:
            log.warning("reading", why=error.str())

    def _write(self) -> None:
        """Write what was gathered, however long the database is away."""
        records, self._records = self._records, []
        pause = 0.2
        while self._moved():
            try:
                self._write_once(records)
            except _LOST as error:
                log.warning("the database does not answer; trying on", why=" ".join(str(error).split()), pause=pause)
                if not self._wait_for_database(pause):
                    return
                pause = min(pause * 2, _LONGEST_PAUSE)
                if not self._still_mine(records):
                    return
            except PositionMovedError as error:
                log.warning("another sink has written: starting afresh", why=str(error))
                self._start_afresh()
                return
            else:
                return

    def _moved(self) -> dict[Partition, Positions]:
        return {
            partition: Positions(self._expected[partition], after)
            for partition, after in self._next.items()
            if partition in self._expected and after != self._expected[partition]
        }

    def _write_once(self, records: list[Any]) -> None:
        positions = self._moved()
        batch = self._batch_of(records)
        try:
            self._writer.write(batch, positions)
        except REFUSALS as error:
            batch = self._without_refused(records, error)
            self._writer.write(batch, positions)
        if len(batch):
            self._letters.stored()
        for partition, position in positions.items():
            self._expected[partition] = position.next
        offsets = [TopicPartition(topic, number, p.next) for (topic, number), p in positions.items()]
        self._consumer.commit(offsets=offsets, asynchronous=True)  # for tools that show the lag; nothing depends on it

    def _batch_of(self, records: Iterable[Any]) -> Batch:
        """Return the batch of *records*; what does not decode is a dead letter, and Kafka has it."""
        batch, refused = Batch(), 0
        for record in records:
            try:
                batch.add(self._topics, record.topic(), record.key(), record.value())
            except BadRecordError as error:
                self._letters.write(record, str(error))
                refused += 1
        if refused:
            self._letters.flush()
        return batch

    def _without_refused(self, records: list[Any], error: Exception) -> Batch:
        """Find the records that PostgreSQL refuses, make them dead letters, and return the batch of the others."""
        refused = self._find_refused([record for record in records if self._decodes(record)])
        for record in refused:
            self._letters.write(record, " ".join(str(error).split())[:500])
        self._letters.flush()
        gone = {id(record) for record in refused}
        batch = Batch()
        for record in records:
            if id(record) not in gone and self._decodes(record):
                batch.add(self._topics, record.topic(), record.key(), record.value())
        return batch

    def _find_refused(self, records: list[Any]) -> list[Any]:
        batch = Batch()
        for record in records:
            batch.add(self._topics, record.topic(), record.key(), record.value())
        if not self._writer.refuses(batch):
            return []
        if len(records) == 1:
            return records
        half = len(records) // 2
        return self._find_refused(records[:half]) + self._find_refused(records[half:])

    def _decodes(self, record: Any) -> bool:
        try:
            Batch().add(self._topics, record.topic(), record.key(), record.value())
        except BadRecordError:
            return False
        return True

    def _wait_for_database(self, pause: float) -> bool:
        """Stay in the group while the database is away, reading nothing; connect again. False: told to stop."""
        assignment = self._consumer.assignment()
        self._consumer.pause(assignment)
        try:
            self._writer.close()
            while not self._stop.is_set():
                record: Any = self._consumer.poll(pause)
                if record is not None and record.error() is None:  # fetched before the pause: it comes again
                    self._consumer.seek(TopicPartition(record.topic(), record.partition(), record.offset()))
                try:
                    self._writer = Writer(self._settings)
                except (TryAgainLaterError, *_LOST) as error:
                    log.warning("the database is still away", why=" ".join(str(error).split()), pause=pause)
                    pause = min(pause * 2, _LONGEST_PAUSE)
                else:
                    return True
            return False
        finally:
            self._consumer.resume(self._consumer.assignment())

    def _still_mine(self, records: list[Any]) -> bool:
        return all((record.topic(), record.partition()) in self._expected for record in records)

    def _start_afresh(self) -> None:
        """Go to where the database is."""
        self._records.clear()
        assignment = self._consumer.assignment()
        self._consumer.assign(self._placed(assignment))

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        try:
            consumer.assign(self._placed(partitions))
        except Exception as error:  # noqa: BLE001 - librdkafka calls this: it must come out of consume()
            self._failure = error

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for partition in partitions:
            self._expected.pop((partition.topic, partition.partition), None)
            self._next.pop((partition.topic, partition.partition), None)
        self._records = [r for r in self._records if (r.topic(), r.partition()) in self._expected]
        consumer.unassign()

    def _placed(self, partitions: list[TopicPartition]) -> list[TopicPartition]:
        """Return *partitions* with the offsets at which the database is."""
        positions = self._writer.positions(sorted({partition.topic for partition in partitions}))
        self._expected = {}
        self._next = {}
        placed = []
        for partition in partitions:
            key = (partition.topic, partition.partition)
            position = positions.get(key)
            self._expected[key] = position
            if position is not None:
                low, high = self._consumer.get_watermark_offsets(partition, timeout=_ANSWER_SECONDS)
                if not low <= position <= high:
                    raise _position_lost(key, position, f"the topic has {low} to {high}")
                self._next[key] = position
            placed.append(TopicPartition(*key, OFFSET_BEGINNING if position is None else position))
        log.info("partitions assigned", count=len(placed))
        return placed


def _position_lost(partition: Partition, position: int | None, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"{partition[0]}[{partition[1]}] was written up to offset {position}, but {why}: the topic was made anew, "
        "or its retention passed rows that were never written. Bring the topic back, or delete the row of this "
        "partition from sink_positions to begin with what is there (rows merge into those in the database)"
    )
