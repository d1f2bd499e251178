"""A Faust transport that reads committed records only, commits what checkpoints say, and knows what follows what.

Faust does the first only with its own ``exactly_once``; its bookkeeping of commits stalls behind transaction markers.

On its way from the fetch to the agent Faust drops records here and there: when a rebalance empties its queues, when the
flow is stopped amid a batch, when a position that it remembers is ahead of a seek. So every record says which offset it
follows in the log, as the thread that fetches saw it, and how many seeks there had been: `streams.order` tells by it.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import faust
import structlog
from aiokafka.errors import IllegalStateError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from streams.fetching import FetchThread
from streams.partitions import SourcePartition
from streams.table import CheckpointTable

log = structlog.get_logger()

_LOOK_AGAIN_SECONDS: Final = 0.02


class FollowingMessage(ConsumerMessage):
    """A record that knows its place."""

    __slots__ = ("follows", "seeks")
    follows: int
    """Offset after the committed record before this one in the log."""
    seeks: int
    """How many seeks there had been when it was fetched."""


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

    _thread: FetchThread

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Read nothing yet."""
        super().__init__(*args, **kwargs)
        self._read_offset = _Forgetful()

    def _new_consumer_thread(self) -> FetchThread:
        thread = FetchThread(self, loop=self.loop, beacon=self.beacon)
        thread.table = self._table
        return thread

    @property
    def _table(self) -> CheckpointTable:
        assert isinstance(self.transport, _Transport)
        return self.transport.table

    def _source(self, partition: SourcePartition) -> TP:
        return TP(self._table.source, partition.number)

    async def subscribe(self, topics: Iterable[str]) -> None:  # noqa: ARG002 - Faust's
        """Ask for partitions of the source and of the changelog, always both.

        Faust asks for less while it stops amid its start, and whoever divides the partitions then gives the others
        some of the one topic that don't go with those of the other.
        """
        if not self.app.should_stop:
            await super().subscribe({self._table.source, self._table.changelog_topic.get_topic_name()})

    async def _wait_next_records(self, timeout: float) -> Any:  # noqa: ASYNC109 - Faust's
        """Wait for records; where no partition may be read yet, look again soon, and not after Faust's second."""
        if self.flow_active and not self._get_active_partitions():
            await self.sleep(_LOOK_AGAIN_SECONDS)
            return {}, set()
        return await super()._wait_next_records(timeout)

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
        tp = self._source(partition)
        try:
            partition.sought = await self._thread.call_thread(self._thread.seek_to, tp, partition.next)
        except IllegalStateError:
            return False
        return True

    async def is_behind(self, partition: SourcePartition) -> bool:
        """Tell whether Kafka has records of *partition* after those that were fetched."""
        tp = self._source(partition)
        behind: bool = await self._thread.call_thread(self._thread.is_behind, tp)
        return behind

    def revive(self, partition: SourcePartition) -> None:
        """Let records of *partition* flow, whatever Faust believes of it; only where no rebalance is under way."""
        tp = self._source(partition)
        active, flowing = tp in self._get_active_partitions(), self.flow_active
        log.warning("records do not come", partition=partition.number, active=active, flowing=flowing)
        self.resume_partitions({tp})
        self.app.flow_control.resume()
        self.resume_flow()

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Say nothing: Faust's guess takes quiet hours, and events that wait for a checkpoint, for a hanging stream.

        `Readiness` tells whether the loop turns, and `streams.order` whether records come.
        """

    @property
    def failed_fetches(self) -> int:
        """How often Kafka gave no records and was asked again."""
        return self._thread.failures

    def measure(self, partition: SourcePartition) -> None:
        """Tell *partition* how far its checkpoints are behind its end."""
        if (ends := self._thread.ends(self._source(partition))) is not None:
            end, position = ends
            all_done = partition.committed >= self.fetched(partition)
            partition.measure(end, max(partition.committed, position) if all_done else partition.committed)

    def fetched(self, partition: SourcePartition) -> int:
        """Return the offset after the last record of *partition* that was fetched, merged or not."""
        return self._thread.fetched.get(self._source(partition), 0)


class _Transport(driver.Transport):
    Consumer = Consumer
    table: CheckpointTable


def read_committed(app: faust.App, table: CheckpointTable) -> None:
    """Let *app* read committed records from where *table*'s checkpoints are."""
    transport = _Transport(app.conf.broker_consumer, app)
    transport.table = table
    app.transport = transport
