"""The process of the sink stage: reads the output topics, writes batches, knows from the database where it is."""

import sys
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, Final

import psycopg2
import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from schemas.errors import ConfigurationError, TryAgainLaterError, one_line
from schemas.figures import Figure, Watch, unwatched
from schemas.interpreter import collect_rarely
from schemas.kafka import client_config, quiet
from schemas.kafka_refusals import Complaints, metadata, missing_topics
from schemas.settings import Settings
from schemas.topic_ids import MADE_ANEW, is_another, topic_ids
from schemas.topics import topics_of
from schemas.watermarks import watermarks
from sinks.connecting import unusable
from sinks.figures import Counts
from sinks.lags import Lags
from sinks.migrating import pending
from sinks.reading_errors import LastingErrors, Partition, position_lost
from sinks.storing import Prepared, Store
from sinks.writing import PositionMovedError, Positions, Writer

log = structlog.get_logger()

_ANSWER_SECONDS: Final = 15
_METADATA_MS: Final = 30_000
"""How soon topics that were deleted, and partitions that were added, are noticed."""
_FIRST_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 5.0
_GLANCE_SECONDS: Final = 0.1
"""How long one look for records lasts; also how often a stop is noticed."""
_WAIT_SECONDS: Final = 1.0
_STOP_SECONDS: Final = 10.0
"""How long a statement may go on after a stop."""

_SWITCH_SECONDS: Final = 0.0005
"""How long the thread that prepares a batch keeps the interpreter while the one that writes has an answer."""

_LOST = (psycopg2.OperationalError, psycopg2.InterfaceError, psycopg2.InternalError, SystemError)
"""The server went away, became a standby, or asks to try again (deadlock, serialization): no record is at fault."""


def run(settings: Settings, stop: threading.Event, watch: Watch = unwatched) -> None:
    """Run the stage in this process until *stop* is set. *watch* gets its figures.

    Raises ConfigurationError (settings, migrations, lost positions, nothing but bad records) and TryAgainLaterError.
    """
    sys.setswitchinterval(_SWITCH_SECONDS)
    collect_rarely()
    try:
        if missing := pending(settings):
            raise ConfigurationError(
                f"the database lacks migrations ({', '.join(missing)}): run `journal-postfix migrate`"
            )
        sink = _Sink(settings, stop)
        watch(sink.figures)
        ended = threading.Event()
        threading.Thread(target=sink.hurry, args=(ended,), name="sink-stop", daemon=True).start()
        try:
            sink.run()
        finally:
            ended.set()
            sink.close()
    except _LOST as error:  # while it started; later ones are ridden out
        raise TryAgainLaterError(f"the database can't be used now: {one_line(error)}") from error
    except psycopg2.Error as error:
        raise unusable(error, settings.database) from error


class _Sink:
    def __init__(self, settings: Settings, stop: threading.Event) -> None:
        self._settings = settings
        self._stop = stop
        self._topics = topics_of(settings.kafka, settings.stream)
        self._writer = Writer(settings)
        self._store = Store(settings, self._topics)
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
        self._assigned: list[TopicPartition] = []
        self._placed = True
        """Whether reading of `_assigned` has begun where the database is."""
        self._expected: dict[Partition, int | None] = {}
        self._next: dict[Partition, int] = {}
        self._at_end: set[Partition] = set()
        self._topic_ids: dict[str, str] = {}
        self._records: list[Any] = []
        self._pause = _FIRST_PAUSE
        # PostgreSQL merges one batch while the next one is read and prepared; one at a time, over one connection.
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="sink-write")
        self._writing: Future[int] | None = None
        self._counts = Counts(settings.metrics.domains if settings.metrics.port is not None else 0)
        self._lags = Lags()
        self._lasting = LastingErrors()
        self._prepared: Prepared | None = None
        """What is being written."""
        self._submitted_at = 0.0
        self._written: dict[Partition, int] = {}
        """The offsets that the batch that is being written leads to."""
        self._last: dict[Partition, Any] = {}
        """The last record read of each partition, for its time."""
        self._written_at: dict[Partition, float] = {}
        """When Kafka got the last record of each partition in the batch that is being written."""

    def close(self) -> None:
        """Leave the group and the database, after what is being written."""
        self._executor.shutdown()
        self._consumer.close()
        self._writer.close()

    def hurry(self, ended: threading.Event) -> None:
        """Cancel a statement that still runs some time after a stop, such as one that waits for a lock."""
        while not ended.wait(_GLANCE_SECONDS):
            if self._stop.is_set() and not ended.wait(_STOP_SECONDS):
                self._writer.cancel()

    def run(self) -> None:
        """Read and write until told to stop; then write what was read."""
        topics = self._topics
        read = (topics.delivery_from, topics.delivery_to, topics.noqueue, topics.tls_session)
        names = [topic.name for topic in read]
        self._check_topics(names)
        self._consumer.subscribe(names, on_assign=self._on_assign, on_revoke=self._on_revoke)
        self._reading = True
        log.info("sink stage starts", group=self._settings.sink.group)
        while not self._stop.is_set():
            try:
                if not self._placed:
                    self._place()
                self._read()
                self._write()
                self._lags.measure(self._consumer)
                if self._lasting.check():
                    self._start_afresh()
            except PositionMovedError as error:
                log.warning("another sink has written: starting afresh", why=str(error))
                self._start_afresh()
            except _LOST as error:
                log.warning("the database does not answer; trying on", why=one_line(error), pause=self._pause)
                self._start_afresh()
                self._connect_again()
        try:
            self._finish_writing()
        except (PositionMovedError, *_LOST) as error:
            log.warning("the last batch was not stored: whoever comes next reads it again", why=one_line(error))

    def _check_topics(self, names: Iterable[str]) -> None:
        try:
            found = metadata(self._consumer, self._complaints, _ANSWER_SECONDS).topics
        except KafkaException as error:
            servers = self._settings.kafka.bootstrap_servers
            raise TryAgainLaterError(
                f"no answer from Kafka at {servers}: {self._complaints.reason(error.args[0])}; is it running there, "
                "and is kafka.security_protocol right?"
            ) from error
        if missing := [name for name in names if name not in found]:
            config = client_config(self._settings.kafka, self._settings.sink.group)
            raise missing_topics(config, missing, _ANSWER_SECONDS)

    def _complain(self, error: KafkaError) -> None:
        self._complaints(error)
        if self._reading:
            log.warning("trouble with Kafka, which is tried on", why=error.str())

    def _read(self) -> None:
        """Gather records until the batch is full, has waited long enough, or all partitions are read to their end."""
        limits = self._settings.sink
        deadline = time.monotonic() + limits.batch_ms / 1000
        while len(self._records) < limits.batch_rows and self._placed and not self._stop.is_set():
            left = deadline - time.monotonic()
            if left <= 0 or (self._at_end.issuperset(self._expected) and self._moved()):
                return
            room = limits.batch_rows - len(self._records)
            found: list[Any] = self._consumer.consume(room, min(left, _GLANCE_SECONDS))
            for record in found:
                self._take(record)

    def _take(self, record: Any) -> None:
        partition = (record.topic(), record.partition())
        error = record.error()
        if error is None:
            if partition in self._expected:
                self._records.append(record)
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

    def _moved(self) -> dict[Partition, Positions]:
        return {
            partition: Positions(self._expected[partition], after, topic_id=self._topic_ids.get(partition[0]))
            for partition, after in self._next.items()
            if after != self._expected[partition]
        }

    def _write(self) -> None:
        """Hand what was read over to be written, when the batch before it is."""
        positions = self._moved()
        prepared = self._store.prepare(self._records) if positions else None
        self._finish_writing()
        if prepared is None:
            return
        self._written_at = {at: record.timestamp()[1] / 1000 for at, record in self._last.items()}
        self._records, self._last = [], {}
        self._written = {partition: position.next for partition, position in positions.items()}
        self._expected |= self._written
        self._prepared, self._submitted_at = prepared, time.monotonic()
        self._writing = self._executor.submit(self._store.store, self._writer, prepared, positions)

    def _finish_writing(self) -> None:
        """Wait for the batch that is being written, if one is. Raises what kept it from being stored."""
        if self._writing is None:
            return
        while not wait([self._writing], _WAIT_SECONDS).done:
            self._stop.is_set()  # a sign of life: who waits for the database, or for a lock, does not hang
        writing, self._writing = self._writing, None
        letters = writing.result()
        self._pause = _FIRST_PAUSE
        assert self._prepared is not None
        self._counts.stored(self._prepared, letters, time.monotonic() - self._submitted_at)
        self._lags.stored(self._written, self._written_at)
        # For tools that show the lag; nothing depends on it.
        offsets = [TopicPartition(*at, offset) for at, offset in self._written.items() if at in self._expected]
        if offsets:
            self._consumer.commit(offsets=offsets, asynchronous=True)

    def _connect_again(self) -> None:
        """Stay in the group while the database is away, reading nothing, until it answers or a stop comes."""
        while not self._stop.is_set():
            self._writer.close()
            until = time.monotonic() + self._pause
            self._pause = min(self._pause * 2, _LONGEST_PAUSE)
            while time.monotonic() < until and not self._stop.is_set():
                self._lags.measure(self._consumer, ask=True)
                self._consumer.poll(_GLANCE_SECONDS)  # nothing is being read: this only keeps the group's calls going
            try:
                self._writer = Writer(self._settings)
            except (TryAgainLaterError, *_LOST) as error:
                log.warning("the database is still away", why=one_line(error), pause=self._pause)
            else:
                return

    def figures(self) -> Iterator[Figure]:
        """Yield what there is to tell; for any thread."""
        yield from self._counts.figures()
        yield from self._lags.figures()

    def _start_afresh(self) -> None:
        """Forget what was read; reading begins again where the database is."""
        self._counts.retries += 1
        self._forget()
        self._consumer.assign([])
        self._placed = False

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        # Where to begin stands in the database, which may be away: that is for the loop, not for this call.
        self._forget()
        self._assigned, self._placed = partitions, False
        self._lags.keep([(at.topic, at.partition) for at in partitions])
        self._lasting.assigned()
        consumer.assign([])

    def _on_revoke(self, consumer: Consumer, _: list[TopicPartition]) -> None:
        if self._writing is not None:  # whoever has them next begins behind it
            wait([self._writing], _STOP_SECONDS)
        self._forget()
        self._assigned, self._placed = [], True
        self._lags.keep(())
        consumer.unassign()

    def _forget(self) -> None:
        self._records, self._last, self._expected, self._next, self._at_end = [], {}, {}, {}, set()

    def _place(self) -> None:
        """Begin to read the assigned partitions where the database is."""
        self._finish_writing()
        topics = sorted({partition.topic for partition in self._assigned})
        positions = self._writer.positions(topics)
        config = client_config(self._settings.kafka, self._settings.sink.group)
        self._topic_ids = topic_ids(config, topics, _ANSWER_SECONDS)
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
        self._store.resume(runs)
        self._consumer.assign(places)
        self._placed = True
        log.info("partitions assigned", count=len(places))
