"""One source partition as a worker holds it: state, transactional producer, and events not yet acknowledged."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any, Final

import msgspec
import structlog
from confluent_kafka import KafkaException, Producer

from schemas.progress import Progress, decode_progress
from streams.state import PartitionState, Write

if TYPE_CHECKING:
    from faust.types import EventT

log = structlog.get_logger()

POSITION: Final = b"\x00position"
"""Changelog key of the partition's progress: with it stands where reading goes on."""

_COMMIT_SECONDS: Final = 20
_TRIES: Final = 6


class CheckpointFailedError(Exception):
    """A checkpoint could not be committed: nothing of it was written, and the worker must start afresh."""


class SourcePartition:
    """A partition of ``postfix.raw`` that this worker owns."""

    def __init__(self, number: int, state: PartitionState, producer: Producer, topics: tuple[str, str]) -> None:
        """Own partition *number*; *topics* are the changelog's and the progress topic's names."""
        self.number = number
        self.state = state
        self.producer = producer
        self.changelog, self.progress_topic = topics
        self.events: list[EventT[Any]] = []
        """Merged since the last checkpoint began: acknowledged when it is committed."""
        self.committed = 0
        """Source offset after the last event whose checkpoint is committed."""
        self.letters_in_a_row = 0
        self.inflight: asyncio.Task[None] | None = None
        """The checkpoint under way: at most one."""

    @property
    def next(self) -> int:
        """Source offset after the last event merged into the state."""
        return self.state.progress.next_offset

    def restore(self, records: dict[bytes, bytes]) -> None:
        """Take over the changelog's latest values."""
        position = records.pop(POSITION, None)
        self.state.progress = decode_progress(position) if position else Progress(partition=self.number)
        self.committed = self.next
        self.state.restore(records)

    def begin_checkpoint(self, executor: Executor) -> None:
        """Start a checkpoint unless one is under way or there is nothing to write."""
        if self.inflight is None and self.events:
            self.inflight = asyncio.get_running_loop().create_task(self._checkpoint(executor))

    async def _checkpoint(self, executor: Executor) -> None:
        events, self.events = self.events, []
        upto = self.next
        progress = msgspec.json.encode(self.state.progress)
        writes = self.state.checkpoint()
        writes.append(Write(self.changelog, POSITION, progress, None))
        writes.append(Write(self.progress_topic, str(self.number).encode(), progress, 0))
        try:
            await self._commit(writes, executor)
        finally:
            self.inflight = None
        self.committed = upto
        for event in events:
            event.ack()

    async def _commit(self, writes: list[Write], executor: Executor) -> None:
        loop = asyncio.get_running_loop()
        for attempt in range(_TRIES):
            try:
                self.producer.begin_transaction()
                self._produce(writes)  # here and not in the thread: both threads at it is slower
                await loop.run_in_executor(executor, self._end_transaction)
            except KafkaException as exception:
                error = exception.args[0]
                if not error.txn_requires_abort():
                    raise CheckpointFailedError(f"partition {self.number}: {error.str()}") from exception
                log.warning(
                    "checkpoint aborted, writing it again", partition=self.number, attempt=attempt, why=error.str()
                )
                await loop.run_in_executor(executor, self._abort)
            else:
                return
        raise CheckpointFailedError(f"partition {self.number}: aborted {_TRIES} times")

    def _produce(self, writes: list[Write]) -> None:
        produce = self.producer.produce
        for topic, key, value, partition in writes:
            number = self.number if partition is None else partition
            while True:
                try:
                    produce(topic, value, key, number)
                    break
                except BufferError:  # the queue is full: let it drain
                    self.producer.poll(0.05)

    def _end_transaction(self) -> None:
        self._insist(lambda: self.producer.commit_transaction(_COMMIT_SECONDS))

    def _abort(self) -> None:
        self._insist(lambda: self.producer.abort_transaction(_COMMIT_SECONDS))

    def _insist(self, call: Callable[[], None]) -> None:
        """Call again while librdkafka says that the same call may work: a broker that restarts takes a while."""
        for last in (False, False, False, True):
            try:
                call()
            except KafkaException as exception:
                if last or not exception.args[0].retriable():
                    raise
                log.warning("the broker does not answer, trying on", partition=self.number, why=exception.args[0].str())
            else:
                return
