"""A Faust table whose partitions are `SourcePartition`s: Faust assigns them, checkpoints write them.

Faust's own way to a table and its recovery lose data and are slow; docs/decisions/0001-checkpoints.md says how.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import structlog
from faust.stores.base import Store
from faust.tables.manager import TableManager as FaustTableManager
from faust.tables.table import Table
from faust.types import TP

from schemas.errors import TryAgainLaterError
from streams.partitions import SourcePartition
from streams.restoring import Restorer
from streams.transactions import FencedError

log = structlog.get_logger()


@dataclass
class Lost:
    """A partition that another worker took, which this one is yet to hear from the group."""

    error: FencedError
    waited: float = 0.0
    """Seconds for which this worker was awake since: it may be frozen again."""


class CheckpointStore(Store[Any, Any]):
    """The partitions that this worker owns. Restores the new ones itself, so that Faust finds nothing to recover."""

    table: "CheckpointTable"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Own nothing yet."""
        super().__init__(*args, **kwargs)
        self.partitions: dict[int, SourcePartition] = {}
        self.executor = ThreadPoolExecutor(16, thread_name_prefix="checkpoint")
        self.lost: Lost | None = None
        """The first partition that another worker took since the last rebalance."""
        self._ends: dict[int, int] = {}
        self._generation = 0

    async def on_rebalance(
        self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0
    ) -> None:
        """Let go of partitions that went elsewhere, take over new ones; those that stay keep state and producer.

        Where this worker was left out of a generation of the group, or did not hear of its outcome, partitions may
        have been another worker's meanwhile: then none counts as having stayed.
        """
        changelog = self.table.changelog_topic.get_topic_name()
        mine = {tp.partition for tp in assigned if tp.topic == changelog}
        if mine != {tp.partition for tp in assigned if tp.topic == self.table.source}:
            self.table.fail(
                TryAgainLaterError(f"{self.table.source} is gone, or has other partitions than {changelog}")
            )
        # Rows go to the partitions of their keys by the number that there was when this worker started.
        if any(number >= (self.table.partitions or 0) for number in mine):
            self.table.fail(
                TryAgainLaterError(
                    f"{self.table.source} has more than its {self.table.partitions} partitions now: starting afresh"
                )
            )
        missed, self._generation = generation_id - self._generation - 1, generation_id
        kept = sorted(mine & self.partitions.keys()) if missed == 0 else []
        for number in self.partitions.keys() - set(kept):
            del self.partitions[number]
        self.lost = None
        new = mine - self.partitions.keys()
        started = time.monotonic()
        try:
            records = await self._take_over(new) if new else 0
        except Exception as error:
            self.table.fail(error)
            raise
        keys = sum(len(self.partitions[number].state) for number in new)
        log.info(
            "partitions assigned",
            kept=kept,
            restored=sorted(new),
            records=records,
            messages=keys,
            seconds=round(time.monotonic() - started, 2),
        )

    async def _take_over(self, numbers: set[int]) -> int:
        self.table.restoring = True
        loop = asyncio.get_running_loop()
        # Making its producer fences the partition's former owner, so that the changelog is at rest when it is read.
        made = [loop.run_in_executor(self.executor, self.table.new_partition, number) for number in sorted(numbers)]
        partitions = {partition.number: partition for partition in await asyncio.gather(*made)}
        records, ends = await loop.run_in_executor(self.executor, self.table.restorer.restore, partitions)
        self._ends |= ends
        self.partitions.update(partitions)
        self.table.restoring = False
        return records

    # What Faust asks of a store. Its changelog is read to the end; its items are in the partitions' states.

    def persisted_offset(self, tp: TP) -> int | None:
        """Return the last changelog offset read."""
        end = self.restored_end(tp.partition)
        return None if end is None else end - 1

    def restored_end(self, number: int) -> int | None:
        """Return the changelog offset up to which partition *number* was restored, if it is here."""
        return self._ends[number] if number in self.partitions else None

    def set_persisted_offset(self, tp: TP, offset: int) -> None:
        """Do nothing: the position stands in the changelog."""

    async def need_active_standby_for(self, tp: TP) -> bool:
        """Say that no standby is needed."""
        return False

    def apply_changelog_batch(self, batch: Any, to_key: Any, to_value: Any) -> None:
        """Refuse: there is nothing to recover."""
        raise RuntimeError("the table restores itself; Faust has nothing to recover")

    def __getitem__(self, key: Any) -> Any:
        raise KeyError(key)

    def __setitem__(self, key: Any, value: Any) -> None:
        raise TypeError("state changes by merging records, and is written by checkpoints")

    def __delitem__(self, key: Any) -> None:
        raise TypeError("state changes by merging records, and is written by checkpoints")

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __len__(self) -> int:
        return sum(len(partition.state) for partition in self.partitions.values())

    def clear(self) -> None:
        """Do nothing."""

    def reset_state(self) -> None:
        """Let go of all partitions."""
        self.partitions.clear()

    async def backup_partition(self, *_: Any, **__: Any) -> None:
        """Refuse: the changelog is the backup."""
        raise RuntimeError("the changelog is the backup")

    def restore_backup(self, *_: Any, **__: Any) -> None:
        """Refuse: the changelog is the backup."""
        raise RuntimeError("the changelog is the backup")


class CheckpointTable(Table[Any, Any]):
    """The table ``messages``: partitions, checkpoints, and the way in which a worker gives up."""

    new_partition: Callable[[int], SourcePartition]
    restorer: Restorer
    failed: Callable[[BaseException], None]
    source: str
    restoring = False
    """Whether new partitions are being taken over right now."""

    @property
    def owned(self) -> dict[int, SourcePartition]:
        """The partitions that this worker owns, by number."""
        return self._checkpoints.partitions

    def restored_end(self, tp: TP) -> int | None:
        """Return up to which offset *tp* was restored; None if it is no partition of the changelog that is here."""
        if tp.topic != self.changelog_topic.get_topic_name():
            return None
        return self._checkpoints.restored_end(tp.partition)

    def fail(self, error: BaseException) -> None:
        """End the worker: it can't go on, and its supervisor starts it afresh."""
        self.failed(error)

    def checkpoint(self, partition: SourcePartition) -> None:
        """Begin a checkpoint unless one is under way, or the partition is no longer here."""
        if self._is_here(partition) and partition.begin_checkpoint(self._checkpoints.executor):
            assert partition.inflight is not None
            partition.inflight.add_done_callback(lambda task: self._checkpoint_done(partition, task))

    def _checkpoint_done(self, partition: SourcePartition, task: "asyncio.Task[None]") -> None:
        error = None if task.cancelled() else task.exception()
        if error is None:
            return
        if not self._is_here(partition):
            log.warning("a checkpoint came too late: its partition is another worker's", partition=partition.number)
        elif isinstance(error, FencedError):
            log.warning("a partition went to another worker", partition=partition.number, why=str(error))
            self.owned.pop(partition.number).let_go()
            self._checkpoints.lost = self._checkpoints.lost or Lost(error)
        else:
            self.fail(error)

    def watch_lost(self, passed: float, most: float) -> None:
        """End the worker if it lost a partition and there has been no rebalance for *most* seconds.

        *passed* is the time since this was last called, as far as this worker was awake.
        """
        lost = self._checkpoints.lost
        if lost is not None:
            lost.waited += passed
            if lost.waited > most:
                self.fail(lost.error)

    def _is_here(self, partition: SourcePartition) -> bool:
        return self.owned.get(partition.number) is partition

    async def flush(self) -> None:
        """Checkpoint until nothing is left to write; for a revocation and for the end."""
        while unfinished := [p for p in self.owned.values() if p.inflight or p.events]:
            for partition in unfinished:
                self.checkpoint(partition)
            await asyncio.wait([p.inflight for p in unfinished if p.inflight is not None])

    @property
    def _checkpoints(self) -> CheckpointStore:
        assert isinstance(self.data, CheckpointStore)
        return self.data

    def _new_store(self) -> CheckpointStore:
        return CheckpointStore("memory://", self.app, self, table_name=self.name, loop=self.loop)


class TableManager(FaustTableManager):
    """Faust's, without a second's sleep at its start: the one table is there before."""

    async def sleep(self, *_: Any) -> None:
        """Go on at once."""
