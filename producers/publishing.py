"""Send records to Kafka and save positions behind their acknowledgements.

Bytes in flight are bounded: with a slow broker, or none, sending waits, and so does the reader. Nothing is given up:
librdkafka tries again for as long as the process lives, in order and without duplicates (idempotence).
"""

import threading
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import msgspec
import structlog
from confluent_kafka import KafkaError, KafkaException, Message

from producers.acknowledgements import Acknowledgements, Stretch
from producers.broker_errors import explained
from producers.client import producer
from schemas.dead_letters import DeadLetter, letter_key
from schemas.errors import JournalPostfixError, TryAgainLaterError
from schemas.figures import Figure
from schemas.keys import partition_of
from schemas.raw import Position, PositionRecord, RawBatch, encode_batch
from schemas.settings import Settings
from schemas.topics import Topic, topics_of

STOP_SECONDS: Final = 15.0
"""How long records in flight are waited for when the process is told to stop."""

_WAIT: Final = 0.1
_TELL: Final = 30.0

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class StoppedError(Exception):
    """Told to stop while a record waited for room; it was not sent."""


class Publisher:
    """A Kafka producer for one run, used by one thread."""

    def __init__(self, settings: Settings, partitions: Mapping[str, int], stop: threading.Event) -> None:
        """*partitions* are the topics' numbers of partitions. Raises ConfigurationError."""
        topics = topics_of(settings.kafka, settings.stream)
        self._raw, self._positions, self._dead = topics.raw.name, topics.positions, topics.dead_letter
        self.partitions: Final = partitions[self._raw]
        self._partitions_of = partitions
        self._servers = settings.kafka.bootstrap_servers
        self._most = settings.producer.buffer_bytes
        self._interval = settings.producer.position_ms / 1000
        self._stop = stop
        self._acknowledgements = Acknowledgements()
        self._in_flight = 0
        self._saves_in_flight = 0
        self._batches = self._lines = self._bytes = self._letters = self._acknowledged = self._retries = 0
        self._acknowledged_at = self._waited = 0.0
        self._saved_at = 0.0
        self._trouble: KafkaError | None = None
        self._failure: JournalPostfixError | None = None
        self._producer = producer(settings, self._on_error, self._tried_again)

    @property
    def in_flight(self) -> int:
        """Return how many bytes wait for their acknowledgement."""
        return self._in_flight

    def figures(self) -> Iterator[Figure]:
        """Yield what there is to tell; for any thread."""
        yield Figure("producer_lines_sent_total", self._lines)
        yield Figure("producer_batches_total", self._batches)
        yield Figure("producer_bytes_total", self._bytes)
        yield Figure("producer_retries_total", self._retries)
        yield Figure("producer_dead_letters_total", self._letters)
        yield Figure("producer_unacknowledged_bytes", self._in_flight)
        yield Figure("producer_acknowledged_batches_total", self._acknowledged)
        yield Figure("producer_acknowledgement_seconds_total", self._waited)
        yield Figure("producer_position_age_seconds", self._acknowledgements.unsaved_seconds)
        if self._acknowledged_at:
            yield Figure("producer_acknowledged_timestamp_seconds", self._acknowledged_at)

    def send(self, partition: int, batch: RawBatch) -> None:
        """Send a batch; wait for room first. Raises TryAgainLaterError, ConfigurationError and StoppedError."""
        value = encode_batch(batch)
        self._send(self._raw, partition, None, value, self._acknowledgements.sent)
        self._batches += 1
        self._bytes += len(value)
        self._lines += len(batch.lines)

    def bury(self, letter: DeadLetter) -> None:
        """Send a dead letter; raises as `send` does."""
        key = letter_key(letter)
        value = msgspec.json.encode(letter)
        self._send(self._dead.name, self._partition(self._dead, key), key, value, self._acknowledgements.sent)
        self._letters += 1

    def mark(self, source: str, position: Position) -> None:
        """Say that all lines up to *position* were sent: it may be saved when they are acknowledged."""
        self._acknowledgements.mark(source, position)

    def serve(self, wait: float = 0) -> None:
        """Take acknowledgements, for *wait* seconds at most, and save positions if it is time to.

        Raises TryAgainLaterError and ConfigurationError.
        """
        self._producer.poll(wait)
        if self._failure is not None:
            raise self._failure
        now = time.monotonic()
        if now - self._saved_at >= self._interval:
            self._saved_at = now
            self._save()

    def finish(self) -> bool:
        """Wait until everything is acknowledged and the positions are saved; tell whether it is so.

        It is not where the process is told to stop and Kafka does not answer within STOP_SECONDS. Raises as `serve`.
        """
        deadline: float | None = None
        tell_at = time.monotonic() + _TELL
        while True:
            self._save()
            self.serve(_WAIT if self._in_flight or self._saves_in_flight else 0)
            if not self._in_flight and not self._saves_in_flight:
                self._save()
                if not self._saves_in_flight:
                    return True
            now = time.monotonic()
            if self._stop.is_set():
                deadline = deadline or now + STOP_SECONDS
                if now >= deadline:
                    log.warning("stopped before Kafka acknowledged all lines; they will be sent again",
                                bytes=self._in_flight, reason=self._reason())  # fmt: skip
                    return False
            if now >= tell_at:
                tell_at = now + _TELL
                self._tell_waiting()

    def abandon(self) -> None:
        """Drop what was not sent, so that the process can end."""
        self._producer.purge()
        self._producer.flush(1)

    def _send(self, topic: str, partition: int, key: bytes | None, value: bytes, count: Any) -> None:
        self._wait_for_room(len(value))
        stretch: Stretch = count()
        size = len(value)
        while True:
            try:
                self._producer.produce(
                    topic, value, key, partition, on_delivery=partial(self._delivered, stretch, size)
                )
            except BufferError:  # the library's own queue is full
                self.serve(_WAIT)
            except KafkaException as error:
                raise explained(error.args[0], f"write to {topic}", self._servers) from None
            else:
                break
        self._in_flight += size
        self.serve()

    def _wait_for_room(self, size: int) -> None:
        tell_at = time.monotonic() + _TELL
        while self._in_flight and self._in_flight + size > self._most:
            self.serve(_WAIT)
            if self._stop.is_set():
                raise StoppedError
            if time.monotonic() >= tell_at:
                tell_at = time.monotonic() + _TELL
                self._tell_waiting()

    def _tell_waiting(self) -> None:
        log.warning("waiting for Kafka to acknowledge lines; reading goes on then",
                    bytes=self._in_flight, reason=self._reason())  # fmt: skip

    def _save(self) -> None:
        for source, position in self._acknowledgements.take_ready().items():
            record = PositionRecord(source=source, at=datetime.now(UTC).isoformat(), position=position)
            key = source.encode()
            self._saves_in_flight += 1
            value, partition = msgspec.json.encode(record), self._partition(self._positions, key)
            while True:
                try:
                    self._producer.produce(self._positions.name, value, key, partition, on_delivery=self._saved)
                except BufferError:  # the library's own queue is full
                    self._producer.poll(_WAIT)
                else:
                    break

    def _partition(self, topic: Topic, key: bytes) -> int:
        return partition_of(key, self._partitions_of[topic.name])

    def _delivered(self, stretch: Stretch, size: int, error: KafkaError | None, message: Message) -> None:
        self._in_flight -= size
        if error is None:
            self._acknowledgements.acknowledged(stretch)
            self._acknowledged += 1
            self._waited += message.latency() or 0.0
            self._acknowledged_at = time.time()
        else:
            self._failed(error, f"write to {message.topic()}")

    def _saved(self, error: KafkaError | None, message: Message) -> None:
        self._saves_in_flight -= 1
        if error is not None:
            self._failed(error, f"write to {message.topic()}")
        elif not self._saves_in_flight:
            self._acknowledgements.saved()

    def _tried_again(self, times: int) -> None:
        self._retries = times

    def _failed(self, error: KafkaError, what: str) -> None:
        if self._failure is None:
            self._failure = explained(error, what, self._servers)

    def _on_error(self, error: KafkaError) -> None:
        self._trouble = error
        if error.fatal() and self._failure is None:
            self._failure = TryAgainLaterError(
                f"Kafka {self._servers} broke the sequence of records: {error.str()}. "
                "Start again: reading goes on after the last line that was acknowledged"
            )

    def _reason(self) -> str:
        return self._trouble.str() if self._trouble is not None else "no answer yet"
