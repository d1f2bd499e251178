"""Sees to it that each partition's records are merged in the order of the log, that none is passed over or left there.

What Faust drops between the fetch and the agent, or does not fetch, is fetched again. Where that does not help, the
worker ends: nothing of what came after the gap was merged, so that nothing is lost.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable
from typing import Final, cast

import faust
import structlog

from schemas.errors import JournalPostfixError
from streams.committed_reads import Consumer, FollowingMessage
from streams.partitions import SourcePartition

log = structlog.get_logger()

_MOST_TRIES: Final = 10
_MOST_STALLS: Final = 3
_STALLED_SECONDS: Final = 15.0
_ON_ITS_WAY_SECONDS: Final = 1.0


class RecordsPassedOverError(JournalPostfixError):
    """There are records that never reach the agent: going on would lose them for good."""


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
        """Notice partitions whose records don't come although there are some; to be called every now and then."""
        now = time.monotonic()
        for partition in partitions:
            offset, since = self._still.get(partition.number, (-1, now))
            if offset != partition.next or partition.inflight is not None:
                self._still[partition.number] = (partition.next, now)
            elif now - since > _STALLED_SECONDS and not self._is_busy(partition):
                self._still[partition.number] = (partition.next, now)
                self._begin(partition, self._look(partition, partition.next))

    async def _look(self, partition: SourcePartition, still: int) -> None:
        """Have records fetched again that have not come, be they fetched and dropped, or never asked for."""
        if self._consumer.fetched(partition) <= still and not await self._consumer.is_behind(partition):
            return
        await asyncio.sleep(_ON_ITS_WAY_SECONDS)
        if partition.next == still and not self._app.rebalancing:
            self._consumer.revive(partition)
            self._complain(partition, f"records from {still} on", _MOST_STALLS)
            await self._seek(partition)

    @property
    def _consumer(self) -> Consumer:
        return cast("Consumer", self._app.consumer)

    def _read_again(self, partition: SourcePartition, what: str) -> None:
        if not self._is_busy(partition):
            self._complain(partition, what, _MOST_TRIES)
            self._begin(partition, self._seek(partition))

    def _is_busy(self, partition: SourcePartition) -> bool:
        return partition.number in self._tasks or self._app.rebalancing  # the end of a rebalance seeks anyway

    def _begin(self, partition: SourcePartition, work: Coroutine[None, None, None]) -> None:
        task = self._tasks[partition.number] = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(lambda _: self._tasks.pop(partition.number, None))

    def _complain(self, partition: SourcePartition, what: str, most: int) -> None:
        """Say that *what* is fetched again; end the worker where it was *most* times."""
        if self._tries.get(partition.number, 0) >= most:
            self._fail(
                RecordsPassedOverError(
                    f"{what} of partition {partition.number} were asked for {most} times and never came to be merged; "
                    "nothing is lost: the last checkpoint stands"
                )
            )
        log.info("fetching again what did not come", partition=partition.number, what=what)

    async def _seek(self, partition: SourcePartition) -> None:
        if await self._consumer.read_on(partition):
            self._tries[partition.number] = self._tries.get(partition.number, 0) + 1
