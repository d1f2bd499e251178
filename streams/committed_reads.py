"""A Faust transport that reads committed records only, commits what checkpoints say, and knows what follows what.

Faust does the first only with its own ``exactly_once``; its bookkeeping of commits stalls behind transaction markers.

On its way from the fetch to the agent Faust drops records here and there: when a rebalance empties its queues, when the
flow is stopped amid a batch, when a position that it remembers is ahead of a seek. So every record says which offset it
follows in the log, as the thread that fetches saw it, and how many seeks there had been: `streams.order` tells by it.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

import faust
import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError, NoOffsetForPartitionError, OffsetOutOfRangeError
from faust.exceptions import ConsumerNotStarted
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from schemas.errors import TryAgainLaterError
from streams.partitions import SourcePartition
from streams.restoring import position_lost
from streams.table import CheckpointTable

log = structlog.get_logger()

UNKNOWN: Final = 1 << 63
"""Offset that a record follows of which nobody knows what was before it: later than any."""
_LONGEST_FETCH_ERROR_SECONDS: Final = 120


class FollowingMessage(ConsumerMessage):
    """A record that knows its place."""

    __slots__ = ("follows", "seeks")
    follows: int
    """Offset after the committed record before this one in the log."""
    seeks: int
    """How many seeks there had been when it was fetched."""


class _Thread(driver.AIOKafkaConsumerThread):
    """The thread that fetches. What is here runs in it, so that no seek comes in the midst of a fetch."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.fetched: dict[TP, int] = {}
        """Where the next fetch goes on, once a seek has said where to begin."""
        self.failures = 0
        """How often Kafka gave no records and was asked again."""
        self._seeks = 0
        self._failing_since: float | None = None

    def _create_worker_consumer(self, transport: driver.Transport) -> AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = "read_committed"  # noqa: SLF001 - aiokafka reads it when it starts
        return consumer

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        self.fetched.clear()
        await super().on_partitions_revoked(revoked)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        self.fetched.clear()
        # aiokafka begins only when this returns, and restoring may take longer than the session lasts.
        self._ensure_consumer()._coordinator._start_heartbeat_task()  # noqa: SLF001
        await super().on_partitions_assigned(assigned, generation_id)

    async def _fetch_records(self, *args: Any, **kwargs: Any) -> Any:
        try:
            fetched = await super()._fetch_records(*args, **kwargs)
        except NoOffsetForPartitionError:
            return {}  # a partition that is new to the group: the seek to its checkpoint is on the way
        except OffsetOutOfRangeError as error:
            ((partition, offset),) = error.args[0].items()
            self._table.fail(position_lost(partition.topic, partition.partition, offset))
            raise
        except KafkaError as error:
            await self._bear(error)
            return {}
        self._failing_since = None
        return {tp: self._following(tp, records) for tp, records in fetched.items()}

    async def _bear(self, error: KafkaError) -> None:
        """Wait a little where Kafka gives no records: a coordinator that moves, a leader that is elected."""
        since = self._failing_since = self._failing_since or time.monotonic()
        if time.monotonic() - since > _LONGEST_FETCH_ERROR_SECONDS:
            self._table.fail(TryAgainLaterError(f"Kafka gives no records: {error}"))
        self.failures += 1
        log.warning("Kafka gives no records, trying on", why=str(error))
        await asyncio.sleep(1)

    def _following(self, tp: TP, records: list[Any]) -> list[tuple[Any, int, int]]:
        follows, seeks = self.fetched.get(tp, UNKNOWN), self._seeks
        placed = []
        for record in records:
            placed.append((record, follows, seeks))
            follows = record.offset + 1
        if tp in self.fetched:
            self.fetched[tp] = follows
        return placed

    async def seek_to(self, tp: TP, offset: int) -> int:
        """Fetch from *offset*; return the number of this seek. Raises IllegalStateError if *tp* went elsewhere."""
        self._ensure_consumer().seek(TopicPartition(tp.topic, tp.partition), offset)
        self.fetched[tp] = offset
        self._seeks += 1
        return self._seeks

    def ends(self, tp: TP) -> tuple[int, int] | None:
        """Return the end of *tp* as the last fetch told it, and where the next fetch begins; None before one did.

        The two are the same where all is read: markers of transactions count as offsets, and are nobody's record.
        """
        partition = TopicPartition(tp.topic, tp.partition)
        try:
            consumer = self._ensure_consumer()
            end: int | None = consumer.highwater(partition)
            state = consumer._subscription.subscription.assignment.state_value(partition)  # noqa: SLF001
        except (AssertionError, AttributeError, ConsumerNotStarted, IllegalStateError):  # it went elsewhere
            return None
        return None if end is None or not state.has_valid_position else (end, state.position)

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        """Tell the group how far it is. Nothing depends on it, so no error of it ends the worker, as Faust has it."""
        consumer, mine = self._ensure_consumer(), self.assignment()
        self.tp_last_committed_at.update(dict.fromkeys(offsets, time.monotonic()))
        try:
            await consumer.commit(
                {TopicPartition(tp.topic, tp.partition): offset for tp, offset in offsets.items() if tp in mine}
            )
        except KafkaError as error:
            log.debug("the group was not told how far it is", why=str(error))
            return False
        return True

    @property
    def _table(self) -> CheckpointTable:
        assert isinstance(self.transport, _Transport)
        return self.transport.table


class _Forgetful(dict[TP, int | None]):
    """What Faust remembers to have read, and drops what is before it: nothing, for that is the agent's to know."""

    def __missing__(self, key: TP) -> None:
        return None

    def __setitem__(self, key: TP, value: int | None) -> None:
        pass

    def update(self, *_: Any, **__: Any) -> None:
        pass


class Consumer(driver.Consumer):
    """Faust's consumer, which goes on where the checkpoints are."""

    _thread: _Thread

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Read nothing yet."""
        super().__init__(*args, **kwargs)
        self._read_offset = _Forgetful()

    def _new_consumer_thread(self) -> _Thread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)

    @property
    def _table(self) -> CheckpointTable:
        assert isinstance(self.transport, _Transport)
        return self.transport.table

    async def subscribe(self, topics: Iterable[str]) -> None:  # noqa: ARG002 - Faust's
        """Ask for partitions of the source and of the changelog, always both.

        Faust asks for less while it stops amid its start, and whoever divides the partitions then gives the others
        some of the one topic that don't go with those of the other.
        """
        if not self.app.should_stop:
            await super().subscribe({self._table.source, self._table.changelog_topic.get_topic_name()})

    def _to_message(self, tp: TP, record: tuple[Any, int, int]) -> FollowingMessage:
        raw, follows, seeks = record
        message = FollowingMessage(
            raw.topic,
            raw.partition,
            raw.offset,
            raw.timestamp / 1000,
            raw.timestamp_type,
            raw.headers,
            raw.key,
            raw.value,
            None,
            tp=tp,
            generation_id=self.app.consumer_generation_id,
        )
        message.follows, message.seeks = follows, seeks
        return message

    def _new_offset(self, tp: TP) -> int | None:
        """Give the offset to commit: that of the last checkpoint, whatever was acknowledged."""
        self._acked[tp].clear()
        self._acked_index[tp].clear()
        self._gap.pop(tp, None)
        partition = self._table.owned.get(tp.partition)
        return partition.committed if partition is not None and tp.topic == self._table.source else None

    async def highwaters(self, *partitions: TP) -> Mapping[TP, int]:
        """Give the ends that the table has restored to, so that Faust finds no changelog to recover.

        The real ends move on: a partition that stayed in a rebalance has written since, and an aborted transaction's
        markers come late.
        """
        ends = {tp: self._table.restored_end(tp) for tp in partitions}
        others = [tp for tp, end in ends.items() if end is None]
        asked = await super().highwaters(*others) if others else {}
        return {tp: asked[tp] if end is None else end for tp, end in ends.items()}

    async def perform_seek(self) -> None:
        """Go on after what was merged, not where the group's offsets are; nothing flows until Faust resumes it."""
        self.stop_flow()
        for partition in list(self._table.owned.values()):
            await self.read_on(partition)

    async def read_on(self, partition: SourcePartition) -> bool:
        """Fetch what comes after the last record merged; return False if the partition is not here any more."""
        tp = TP(self._table.source, partition.number)
        try:
            partition.sought = await self._thread.call_thread(self._thread.seek_to, tp, partition.next)
        except IllegalStateError:
            return False
        return True

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Say nothing: Faust's guess takes quiet hours, and events that wait for a checkpoint, for a hanging stream.

        `Readiness` tells whether the loop turns, and `streams.order` whether records are dropped.
        """

    @property
    def failed_fetches(self) -> int:
        """How often Kafka gave no records and was asked again."""
        return self._thread.failures

    def measure(self, partition: SourcePartition) -> None:
        """Tell *partition* how far its checkpoints are behind its end."""
        if (ends := self._thread.ends(TP(self._table.source, partition.number))) is not None:
            end, position = ends
            all_done = partition.committed >= self.fetched(partition)
            partition.measure(end, max(partition.committed, position) if all_done else partition.committed)

    def fetched(self, partition: SourcePartition) -> int:
        """Return the offset after the last record of *partition* that was fetched, merged or not."""
        return self._thread.fetched.get(TP(self._table.source, partition.number), 0)


class _Transport(driver.Transport):
    Consumer = Consumer
    table: CheckpointTable


def read_committed(app: faust.App, table: CheckpointTable) -> None:
    """Let *app* read committed records from where *table*'s checkpoints are."""
    transport = _Transport(app.conf.broker_consumer, app)
    transport.table = table
    app.transport = transport
