"""The part of ``postfix.raw`` that is read again: from a moment, or where a replay stood, to the end as it is now."""

import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from journal_postfix.broker import brokers_named, quiet_config, reach, unreadable
from schemas.errors import ConfigurationError, TryAgainLaterError
from schemas.settings import Settings
from schemas.topics import topics_of
from schemas.watermarks import watermarks

_ANSWER_SECONDS: Final = 15.0
_SILENT_SECONDS: Final = 60.0
"""How long Kafka may give nothing, neither a record nor the end of a partition."""
_GLANCE_SECONDS: Final = 0.2
_AT_ONCE: Final = 100

_NO_LONGER_THERE: Final = (KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET)  # noqa: SLF001 - its name


class Stretch(msgspec.Struct):
    """What is to be read of one partition: offsets from `next` to `end`."""

    next: int
    end: int
    cut: bool = False
    """Whether the topic's retention has taken what stood before."""


class Source:
    """Reads committed records of ``postfix.raw``, without a group: nobody else notices."""

    def __init__(self, settings: Settings) -> None:
        """Connect. Raises ConfigurationError and TryAgainLaterError."""
        self.topic: Final = topics_of(settings.kafka, settings.stream).raw.name
        self._named: Final = brokers_named(settings)
        self._settings: Final = settings
        self._consumer: Final = Consumer(
            quiet_config(settings, "journal-postfix-replay")
            | {
                "group.id": "unused",  # librdkafka wants a name; a manual assignment joins no group
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "queued.max.messages.kbytes": 64 * 1024,
                "fetch.wait.max.ms": 100,
            }
        )

    def close(self) -> None:
        """Give the connection up."""
        self._consumer.close()

    def stretches(
        self, since: datetime, until: datetime | None, positions: Mapping[int, int] | None = None
    ) -> dict[int, Stretch]:
        """Return what to read of each partition: records produced *since* then, up to *until* or the end as it is now.

        A partition of *positions* begins there instead. Raises ConfigurationError where the topic is missing, or has no
        longer what comes next, TryAgainLaterError where Kafka does not answer.
        """
        try:
            return self._stretches(since, until, positions or {})
        except KafkaException as error:
            raise TryAgainLaterError(f"{self._named}: {error.args[0].str()}") from None

    def first_moment(self, partition: int, stretch: Stretch) -> datetime | None:
        """Return when the first record of a *stretch* was produced; None: it is empty. Raises TryAgainLaterError."""
        for record in self.read({partition: Stretch(stretch.next, min(stretch.next + 1, stretch.end))}):
            if record is not None:
                return datetime.fromtimestamp(record.timestamp()[1] / 1000, UTC)
        return None

    def read(self, stretches: Mapping[int, Stretch]) -> Iterator[Any]:
        """Yield the records of *stretches*, None now and then, and move their `next` on with each.

        Raises ConfigurationError where retention overtakes the reading or this user may not read, TryAgainLaterError
        where Kafka gives nothing.
        """
        unfinished = {number for number, stretch in stretches.items() if stretch.next < stretch.end}
        self._consumer.assign([TopicPartition(self.topic, number, stretches[number].next) for number in unfinished])
        heard = time.monotonic()
        try:
            while unfinished:
                records: list[Any] = self._consumer.consume(_AT_ONCE, _GLANCE_SECONDS)
                if records:
                    heard = time.monotonic()
                elif time.monotonic() - heard > _SILENT_SECONDS:
                    raise TryAgainLaterError(f"{self._named} gave nothing of {self.topic} for {_SILENT_SECONDS:.0f} s")
                for record in records:
                    number = record.partition()
                    if number not in unfinished or self._is_trouble(record):
                        continue
                    stretch = stretches[number]
                    if record.error() is not None or record.offset() >= stretch.end:
                        stretch.next = stretch.end
                    else:
                        stretch.next = record.offset() + 1
                        yield record
                    if stretch.next >= stretch.end:
                        unfinished.discard(number)
                        with suppress(KafkaException):  # it is not there any more
                            self._consumer.incremental_unassign([TopicPartition(self.topic, number)])
                yield None
        finally:
            self._consumer.unassign()

    def _is_trouble(self, record: Any) -> bool:
        """Tell whether *record* is neither one nor the end of its partition, but what librdkafka rides out itself."""
        error = record.error()
        if error is None or error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - librdkafka's name for it
            return False
        if error.code() in _NO_LONGER_THERE:
            raise ConfigurationError(
                f"{self.topic}[{record.partition()}]: its retention took records before they were read again; begin "
                "later (--since)"
            )
        if error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            raise unreadable(self.topic, self._settings, "stream")
        if error.fatal():
            raise TryAgainLaterError(f"cannot read {self.topic}: {error.str()}")
        return True

    def _stretches(self, since: datetime, until: datetime | None, positions: Mapping[int, int]) -> dict[int, Stretch]:
        found = reach(self._settings)[1].topics.get(self.topic)
        if found is None:
            raise ConfigurationError(f"topic {self.topic} is missing: is this the Kafka that the producers write to?")
        numbers = sorted(found.partitions)
        starts = self._offsets(numbers, since)
        ends = self._offsets(numbers, until) if until is not None else {}
        stretches = {}
        for number in numbers:
            low, high = watermarks(self._consumer, self.topic, number, _ANSWER_SECONDS)
            start = starts.get(number, high)
            if (position := positions.get(number)) is not None:
                if not low <= position <= high:
                    raise ConfigurationError(
                        f"{self.topic}[{number}] was replayed up to {position}, but holds {low} to {high} now: make "
                        "the second set anew"
                    )
                start = position
            stretches[number] = Stretch(start, max(start, ends.get(number, high)), cut=start == low > 0)
        return stretches

    def _offsets(self, numbers: list[int], moment: datetime) -> dict[int, int]:
        """Return the offset of the first record that was produced at *moment* or later; none where there is none."""
        asked = [TopicPartition(self.topic, number, int(moment.timestamp() * 1000)) for number in numbers]
        found = self._consumer.offsets_for_times(asked, timeout=_ANSWER_SECONDS)
        return {at.partition: at.offset for at in found if at.offset >= 0}
