"""Sees to it that each partition's records are merged in the order of the log, and that none is passed over.

What Faust drops between the fetch and the agent is fetched again. Where that does not help, the worker ends: nothing of
what came after the gap was merged, so that nothing is lost.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Final, cast

import faust
import structlog

from schemas.errors import JournalPostfixError
from streams.committed_reads import Consumer, FollowingMessage
from streams.partitions import SourcePartition

log = structlog.get_logger()

_MOST_TRIES: Final = 10
_STALLED_SECONDS: Final = 15.0


class RecordsPassedOverError(JournalPostfixError):
    """Records were fetched and never reach the agent: going on would lose them for good."""


class Order:
    """Says which records are to be merged, and has those fetched again that were dropped on the way."""

    def __init__(self, app: faust.App, fail: Callable[[BaseException], None]) -> None:
        """Seek with the consumer of *app*; give up with *fail*."""
        self._app, self._fail = app, fail
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._tries: dict[int, int] = {}
        self._still: dict[int, tuple[int, float]] = {}

    def is_next(self, partition: SourcePartition, message: FollowingMessage) -> bool:
        """Tell whether *message* is the one to merge: not merged before, and nothing dropped before it."""
        if message.offset < partition.next:
            return False
        if message.follows <= partition.next:
            self._tries.pop(partition.number, None)
            return True
        if message.seeks >= partition.sought:  # else it was fetched before the last seek, and comes again
            self._read_again(partition, f"records {partition.next} to {min(message.follows, message.offset) - 1}")
        return False

    def watch(self, partitions: Iterable[SourcePartition]) -> None:
        """Notice records that were dropped with none after them; to be called every now and then."""
        now = time.monotonic()
        for partition in partitions:
            offset, since = self._still.get(partition.number, (-1, now))
            if offset != partition.next or partition.inflight is not None:
                self._still[partition.number] = (partition.next, now)
            elif now - since > _STALLED_SECONDS and self._consumer.fetched(partition) > partition.next:
                self._still[partition.number] = (partition.next, now)
                self._read_again(partition, f"records from {partition.next} on")

    @property
    def _consumer(self) -> Consumer:
        return cast("Consumer", self._app.consumer)

    def _read_again(self, partition: SourcePartition, what: str) -> None:
        number = partition.number
        if number in self._tasks or self._app.rebalancing:  # the end of a rebalance seeks anyway
            return
        if self._tries.get(number, 0) >= _MOST_TRIES:
            self._fail(
                RecordsPassedOverError(
                    f"{what} of partition {number} were fetched {_MOST_TRIES} times and never came to be merged; "
                    "nothing is lost: the last checkpoint stands"
                )
            )
        log.info("fetching again what was dropped on the way", partition=number, what=what)
        task = self._tasks[number] = asyncio.get_running_loop().create_task(self._seek(partition))
        task.add_done_callback(lambda _: self._tasks.pop(number, None))

    async def _seek(self, partition: SourcePartition) -> None:
        if await self._consumer.read_on(partition):
            self._tries[partition.number] = self._tries.get(partition.number, 0) + 1
