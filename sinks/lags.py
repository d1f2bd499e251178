"""How far what is stored is behind the ends of the partitions."""

import time
from collections.abc import Collection, Iterator, Mapping
from typing import Final

from confluent_kafka import Consumer, KafkaException, TopicPartition

from schemas.figures import Figure
from schemas.lag import Lag

_EVERY_SECONDS: Final = 0.5
_ASKED_EVERY_SECONDS: Final = 5.0
_ANSWER_SECONDS: Final = 1.0

Partition = tuple[str, int]


class _Stored:
    """How far a partition is stored."""

    def __init__(self) -> None:
        self.lag: Final = Lag()
        self.next: int | None = None
        """Offset of the first record that is not; None: none is."""
        self.last_at = 0.0
        """When Kafka got the last one that is."""


class Lags:
    """The lags of the partitions that a sink has. One thread measures, others may read the figures."""

    def __init__(self) -> None:
        """There are no partitions yet."""
        self._partitions: dict[Partition, _Stored] = {}
        self._due = 0.0

    def keep(self, partitions: Collection[Partition]) -> None:
        """Take the partitions that the sink has now; forget others."""
        self._partitions = {at: self._partitions.get(at) or _Stored() for at in partitions}

    def begin(self, at: Partition, position: int | None) -> None:
        """Take where the database is."""
        self._partitions[at].next = position

    def stored(self, positions: Mapping[Partition, int], times: Mapping[Partition, float]) -> None:
        """Take to where partitions are stored now, and when Kafka got the last record of each."""
        for at, after in positions.items():
            if (partition := self._partitions.get(at)) is not None:
                partition.next = after
                partition.last_at = times.get(at, partition.last_at)

    def measure(self, consumer: Consumer, *, ask: bool = False) -> None:
        """Compare with the ends, if it is time to: as the last fetch told them, or *ask* where nothing is fetched.

        For the thread that uses *consumer*: it keeps others waiting meanwhile.
        """
        if (now := time.monotonic()) < self._due:
            return
        self._due = now + (_ASKED_EVERY_SECONDS if ask else _EVERY_SECONDS)
        for at, partition in self._partitions.items():
            place = TopicPartition(*at)
            try:
                low, end = (
                    consumer.get_watermark_offsets(place, timeout=_ANSWER_SECONDS)
                    if ask
                    else consumer.get_watermark_offsets(place, cached=True)
                )
            except KafkaException:  # it is away, too
                return
            if end >= 0:
                done = max(low, 0) if partition.next is None else partition.next
                partition.lag.measure(end, done, partition.last_at)

    def figures(self) -> Iterator[Figure]:
        """Yield what there is to tell."""
        for (topic, number), partition in self._partitions.items():  # replaced as a whole, never changed
            labels = {"topic": topic, "partition": str(number)}
            yield Figure("sink_lag_records", partition.lag.records, labels)
            yield Figure("sink_lag_seconds", partition.lag.seconds, labels)
