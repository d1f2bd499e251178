"""Records of ``postfix.raw`` to batches of rows, as stream and sink make them: no clock, no Kafka, no database."""

from collections.abc import Mapping
from typing import Final, TypeVar

import msgspec

from schemas.errors import BadRecordError
from schemas.raw import decode_batch
from schemas.settings import StreamSettings
from schemas.topics import Topics
from sinks.batches import Batch
from streams.state import PartitionState

_Key = TypeVar("_Key", bound=tuple[str, ...])
_Row = TypeVar("_Row")


class Counts(msgspec.Struct):
    """What a replay has made of its input so far."""

    records: int = 0
    dead_letters: int = 0
    """Of the records, those that are no batch: the stream stage has made dead letters of them."""
    lines: int = 0
    """In the others: the sum of the next three."""
    parsed: int = 0
    ignored: int = 0
    unparsed: int = 0
    rows: int = 0
    """Versions of rows that were merged into tables."""
    expired: int = 0
    """Of the rows made, those that are older than they may be kept: they are not written."""
    refused: int = 0
    """Of the rows made, those that PostgreSQL does not take."""


class Rows:
    """The states of all partitions, and what their next checkpoint has to write."""

    def __init__(self, topics: Topics, settings: StreamSettings, oldest: Mapping[str, str]) -> None:
        """Know nothing yet. *oldest*: by table, the first moment that is kept (RFC 3339); of others all are."""
        self._topics: Final = topics
        self._settings: Final = settings
        self._oldest: Final = oldest
        self._outputs: Final = {topic.name for topic in topics.outputs()}
        self._states: dict[int, PartitionState] = {}
        self._dead = 0
        self._expired = 0

    def take(self, partition: int, value: bytes | None) -> None:
        """Merge the lines of one record of a partition; records come in the order of their offsets."""
        state = self._states.get(partition)
        if state is None:
            state = self._states[partition] = PartitionState(partition, self._topics, self._settings)
        try:
            batch = decode_batch(value or b"")
        except BadRecordError:
            self._dead += 1
        else:
            state.merge(batch)

    def checkpoint(self) -> Batch:
        """Return the rows of all that changed since the last checkpoint, also of what is unfinished."""
        batch = Batch()
        for state in self._states.values():
            for write in state.checkpoint():
                if write.topic in self._outputs:  # changelog and progress belong to the workers
                    batch.add(self._topics, write.topic, write.key, write.value)
        self._expire(batch)
        return batch

    def counts(self) -> Counts:
        """Return what became of the input; of the rows only those that are too old."""
        found = [state.progress for state in self._states.values()]
        return Counts(
            records=self._dead + sum(progress.batches for progress in found),
            dead_letters=self._dead,
            lines=sum(progress.lines for progress in found),
            parsed=sum(progress.parsed for progress in found),
            ignored=sum(sum(progress.ignored.values()) for progress in found),
            unparsed=sum(progress.unparsed for progress in found),
            expired=self._expired,
        )

    def _expire(self, batch: Batch) -> None:
        """Leave out what a purge would take, or has taken."""
        self._expired += _drop(batch.messages, 2, self._oldest.get("delivery_from"))
        self._expired += _drop(batch.deliveries, 2, self._oldest.get("delivery_to"))
        self._expired += _drop(batch.rejections, 0, self._oldest.get("noqueue"))
        self._expired += _drop(batch.sessions, 0, self._oldest.get("tls_sessions"))


def _drop(rows: dict[_Key, _Row], time: int, oldest: str | None) -> int:
    """Drop the rows whose key's part number *time* is before *oldest*; return how many."""
    if oldest is None:
        return 0
    old = [key for key in rows if key[time] < oldest]
    for key in old:
        del rows[key]
    return len(old)


def halves(batch: Batch) -> tuple[Batch, Batch]:
    """Return two batches that together have the rows of *batch*; the first has what it withdraws."""
    first, second = batch.tombstones(), Batch()
    left = len(batch) // 2
    for field in ("messages", "deliveries", "rejections", "sessions"):
        for key, row in getattr(batch, field).items():
            getattr(first if left > 0 else second, field)[key] = row
            left -= 1
    return first, second
