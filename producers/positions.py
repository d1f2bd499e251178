"""Reach Kafka at the start of a run: how many partitions the topics have, and how far each source was read."""

import threading
import time
from collections.abc import Collection
from typing import Any, Final

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from producers.broker_errors import explained, no_answer
from producers.publishing import StoppedError
from schemas.errors import BadRecordError, ConfigurationError, JournalPostfixError
from schemas.kafka import client_config, quiet
from schemas.kafka_refusals import Complaints
from schemas.keys import partition_of
from schemas.raw import Position, decode_position
from schemas.settings import Settings
from schemas.topics import topics_of

START_SECONDS: Final = 30.0
"""How long a broker that does not answer is waited for when a run begins: nothing was read yet that could be lost."""

_STEP: Final = 1.0
_TELL: Final = 3.0
_GATHER: Final = 0.05  # the library waits that long for more, even at the end

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Positions:
    """Asks Kafka before the first line is read. Close it afterwards."""

    def __init__(self, settings: Settings, stop: threading.Event, seconds: float = START_SECONDS) -> None:
        """Give up on a broker that does not answer for *seconds*. Raises ConfigurationError."""
        if not settings.kafka.bootstrap_servers:
            raise ConfigurationError(
                "no Kafka is configured: set kafka.bootstrap_servers (--bootstrap-servers HOST:PORT), "
                "or let `journal-postfix up` start an embedded one"
            )
        self._settings = settings
        self._stop = stop
        self._deadline = time.monotonic() + seconds
        self._tell_at = time.monotonic() + _TELL
        self._complaints = Complaints(settings.kafka)
        self._consumer = Consumer(
            client_config(settings.kafka, "journal-postfix-positions")
            | {
                "group.id": "journal-postfix-positions",  # only named: nothing is committed
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 20,  # the end is what is waited for
                "auto.offset.reset": "earliest",
                "error_cb": self._complaints,
                "logger": quiet,
            }
        )

    def close(self) -> None:
        """Give the connection up."""
        self._consumer.close()

    def partitions(self) -> dict[str, int]:
        """Return how many partitions the topics that a producer writes to have.

        Raises TryAgainLaterError, ConfigurationError and StoppedError.
        """
        kafka = self._settings.kafka
        topics = topics_of(kafka, self._settings.stream)
        found = {}
        for topic in (topics.raw, topics.positions, topics.dead_letter):
            metadata = self._patiently("read the topics", self._consumer.list_topics, topic.name).topics[topic.name]
            if metadata.error is not None:
                raise explained(metadata.error, f"use the topic {topic.name}", kafka.bootstrap_servers)
            found[topic.name] = len(metadata.partitions)
        if found[topics.raw.name] != kafka.partitions:
            log.warning("the topic has another number of partitions than the settings; the topic's is used",
                        topic=topics.raw.name, has=found[topics.raw.name], setting=kafka.partitions)  # fmt: skip
        return found

    def of(self, sources: Collection[str], partitions: int) -> dict[str, Position]:
        """Return the last saved positions of *sources*; the topic has *partitions*. Raises as `partitions`."""
        wanted = {source.encode(): source for source in sources}
        topic = topics_of(self._settings.kafka, self._settings.stream).positions.name
        places = sorted({partition_of(key, partitions) for key in wanted})
        # What was written by now is read: with many hosts that save theirs, the topic has no moment without news.
        ends = {place: self._end(topic, place) for place in places}
        self._consumer.assign([TopicPartition(topic, place, OFFSET_BEGINNING) for place in places if ends[place]])
        found: dict[str, Position] = {}
        unread = {place for place in places if ends[place]}
        while unread:
            for message in self._patiently("read the positions", self._messages):
                error, place = message.error(), message.partition()
                if error is None:
                    source = wanted.get(message.key() or b"")
                    if source is not None:
                        _keep(found, source, message.value())
                    if message.offset() + 1 >= ends[place]:
                        unread.discard(place)
                elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001
                    unread.discard(place)
                elif not error.retriable():
                    raise explained(error, f"read {topic}", self._settings.kafka.bootstrap_servers)
        self._consumer.unassign()
        return found

    def _end(self, topic: str, place: int) -> int:
        _, end = self._patiently(
            "read the positions", self._consumer.get_watermark_offsets, TopicPartition(topic, place)
        )
        return int(end)

    def _messages(self, *, timeout: float) -> list[Any]:
        messages = self._consumer.consume(10_000, min(timeout, _GATHER))
        if not messages:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))  # noqa: SLF001
        return messages

    def _patiently(self, what: str, call: Any, *arguments: Any) -> Any:
        while True:
            try:
                return call(*arguments, timeout=_STEP)
            except KafkaException as error:
                if call != self._messages:  # that has polled
                    self._consumer.poll(0)
                failure = self._failure(error.args[0], what)
                if failure is not None:
                    raise failure from None
                self._tell_waiting(error.args[0])
            if self._stop.is_set():
                raise StoppedError

    def _failure(self, error: KafkaError, what: str) -> JournalPostfixError | None:
        if (refusal := self._complaints.refusal()) is not None:
            return refusal
        if time.monotonic() < self._deadline:
            return None
        return no_answer(self._complaints.reason(error), what, self._settings.kafka.bootstrap_servers)

    def _tell_waiting(self, error: KafkaError) -> None:
        if time.monotonic() >= self._tell_at:
            self._tell_at = self._deadline
            reason = self._complaints.reason(error)
            log.warning("Kafka does not answer yet", at=self._settings.kafka.bootstrap_servers, reason=reason)


def _keep(found: dict[str, Position], source: str, value: bytes | None) -> None:
    if value is None:
        found.pop(source, None)
        return
    try:
        found[source] = decode_position(value).position
    except BadRecordError as error:
        log.warning("a saved position is unreadable and left out", source=source, reason=str(error))
