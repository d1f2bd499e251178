"""One source partition as a worker holds it: state, transactions, and events not yet acknowledged."""

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any, Final

import msgspec

from schemas.errors import BadRecordError, ConfigurationError
from schemas.figures import Figure
from schemas.lag import Lag
from schemas.progress import Progress, decode_progress
from schemas.raw import RawBatch
from schemas.timestamps import MICROSECONDS
from schemas.topics import Topics
from streams.outputs import Write
from streams.state import PartitionState
from streams.transactions import CheckpointFailedError, Transactions

if TYPE_CHECKING:
    from faust.types import EventT

POSITION: Final = b"\x00position"
"""Changelog key of the partition's progress: with it stands where reading goes on."""


class SourcePartition:
    """A partition of ``postfix.raw`` that this worker owns."""

    def __init__(self, number: int, state: PartitionState, transactions: Transactions, topics: Topics) -> None:
        """Own partition *number*; nothing is restored yet."""
        self.number = number
        self.state = state
        self.committed = 0
        """Source offset after the last event whose checkpoint is committed."""
        self.events: list[EventT[Any]] = []
        """Merged since the last checkpoint began: acknowledged when it is committed."""
        self.sought = 0
        """Number of the seek that said last where to read: what was fetched before it is old."""
        self.inflight: asyncio.Task[None] | None = None
        """The checkpoint under way: at most one."""
        self._transactions = transactions
        self._checkpoints = self._checkpoint_batches = self._checkpoint_records = 0
        self._checkpoint_seconds = 0.0
        self._lag = Lag()
        self._committed_at = 0.0
        """When Kafka got the last event whose checkpoint is committed."""
        self._changelog, self._progress = topics.changelog.name, topics.progress.name

    @property
    def next(self) -> int:
        """Source offset after the last event merged into the state."""
        return self.state.progress.next_offset

    def figures(self) -> Iterator[Figure]:
        """Yield what there is to tell of it; for any thread."""
        progress, at = self.state.progress, {"partition": str(self.number)}
        yield Figure("stream_lines_total", progress.parsed, at | {"class": "parsed"})
        yield Figure("stream_lines_total", progress.unparsed, at | {"class": "unparsed"})
        for why, count in dict(progress.ignored).items():
            yield Figure("stream_lines_total", count, at | {"class": why})
        yield Figure("stream_batches_total", progress.batches, at)
        yield Figure("stream_dead_letters_total", progress.dead_letters, at)
        yield Figure("stream_messages_in_flight", len(self.state), at)
        if latest := max(dict(progress.hosts).values(), default=0):
            yield Figure("stream_newest_line_timestamp_seconds", latest / MICROSECONDS, at)
        yield Figure("stream_lag_records", self._lag.records, at)
        yield Figure("stream_lag_seconds", self._lag.seconds, at)
        yield Figure("stream_checkpoints_total", self._checkpoints, at)
        yield Figure("stream_checkpoint_batches_total", self._checkpoint_batches, at)
        yield Figure("stream_checkpoint_records_total", self._checkpoint_records, at)
        yield Figure("stream_checkpoint_seconds_total", self._checkpoint_seconds, at)

    @property
    def retries(self) -> int:
        """How often a checkpoint was tried again."""
        return self._transactions.retries

    def measure(self, end: int, done: int) -> None:
        """Take the end of the source partition, and the offset up to which checkpoints have its records."""
        self._lag.measure(end, done, self._committed_at)

    def restore(self, records: dict[bytes, bytes]) -> None:
        """Take over the changelog's latest values. Raises ConfigurationError for what cannot be read."""
        position = records.pop(POSITION, None)
        try:
            progress = Progress(partition=self.number) if position is None else decode_progress(position)
            self.state.restore(records, progress)
        except (BadRecordError, UnicodeDecodeError) as error:
            raise self._unreadable(error) from error
        self.committed = self.next

    def merge(self, batch: RawBatch) -> None:
        """Merge a record. Raises ConfigurationError where a stored message, which it wakes, cannot be read."""
        try:
            self.state.merge(batch)
        except BadRecordError as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> ConfigurationError:
        return ConfigurationError(
            f"partition {self.number} of {self._changelog} holds what this version did not write ({error}). Run the "
            "version that did, or start over with another stream.application (it reads all that is there; rows merge "
            "into those in the database)"
        )

    def begin_checkpoint(self, executor: Executor) -> bool:
        """Start a checkpoint; return False if one is under way or there is nothing to write."""
        if self.inflight is not None or not self.events:
            return False
        self.inflight = asyncio.get_running_loop().create_task(self._checkpoint(executor))
        return True

    async def _checkpoint(self, executor: Executor) -> None:
        began = time.monotonic()
        events, self.events = self.events, []
        upto = self.next
        writes = self.state.checkpoint()
        self.state.progress.in_flight = len(self.state)
        progress = msgspec.json.encode(self.state.progress)
        writes.append(Write(self._changelog, POSITION, progress, None))
        writes.append(Write(self._progress, str(self.number).encode(), progress, 0))
        try:
            await self._transactions.write(writes, executor)
        except CheckpointFailedError:  # this stays in flight: nothing more is written
            self.events = [*events, *self.events]
            raise
        self.inflight = None
        self.committed, self._committed_at = upto, events[-1].message.timestamp
        self._checkpoints += 1
        self._checkpoint_batches += len(events)
        self._checkpoint_records += len(writes)
        self._checkpoint_seconds += time.monotonic() - began
        for event in events:
            event.ack()

    def let_go(self) -> None:
        """Forget what is not committed: the worker that has the partition now reads it again."""
        events, self.events = self.events, []
        for event in events:
            event.ack()
