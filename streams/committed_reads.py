"""A Faust transport that reads committed records only, loses none in a rebalance, and commits what checkpoints say.

Faust does the first only with its own ``exactly_once``; its bookkeeping of commits stalls behind transaction markers.

At the end of a rebalance Faust seeks while records already flow, and empties its queues afterwards: what came in
between is gone, the next record is read as if nothing had been there. Here nothing flows from the seek until Faust
has emptied its queues; and every record says which offset it follows, so that a record that Faust dropped anywhere
is noticed by the agent and never skipped.
"""

import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import faust
import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, NoOffsetForPartitionError, OffsetOutOfRangeError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage, Message

from streams.restoring import position_lost
from streams.table import CheckpointTable

log = structlog.get_logger()


class FollowingMessage(ConsumerMessage):
    """A record, and the offset after the record that was delivered before it (or that was sought)."""

    __slots__ = ("follows",)
    follows: int


class _Thread(driver.AIOKafkaConsumerThread):
    def _create_worker_consumer(self, transport: driver.Transport) -> AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = "read_committed"  # noqa: SLF001 - aiokafka reads it when it starts
        return consumer

    async def _fetch_records(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return await super()._fetch_records(*args, **kwargs)
        except NoOffsetForPartitionError:
            return {}  # a partition that is new to the group: the seek to its checkpoint is on the way
        except OffsetOutOfRangeError as error:
            ((partition, offset),) = error.args[0].items()
            assert isinstance(self.transport, _Transport)
            self.transport.table.fail(position_lost(partition.topic, partition.partition, offset))
            raise

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


class _Consumer(driver.Consumer):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._follows: dict[TP, int] = {}
        self._seeks = 0

    def _new_consumer_thread(self) -> _Thread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)

    @property
    def _table(self) -> CheckpointTable:
        assert isinstance(self.transport, _Transport)
        return self.transport.table

    def _to_message(self, tp: TP, record: Any) -> FollowingMessage:
        offset = record.offset
        message = FollowingMessage(
            record.topic,
            record.partition,
            offset,
            record.timestamp / 1000,
            record.timestamp_type,
            record.headers,
            record.key,
            record.value,
            None,
            tp=tp,
            generation_id=self.app.consumer_generation_id,
        )
        message.follows = min(self._follows.get(tp, offset), offset)
        self._follows[tp] = offset + 1
        return message

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Message]]:  # noqa: ASYNC109 - Faust's
        """Give fetched records until a seek makes the rest of them old."""
        seeks = None
        async for tp, message in super().getmany(timeout):
            if seeks is None:
                seeks = self._seeks
            elif seeks != self._seeks:
                break
            yield tp, message

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
        """Go on where the checkpoints are, not where the group's offsets are; nothing flows until Faust resumes it."""
        self.stop_flow()
        await super().perform_seek()
        for partition in self._table.owned.values():
            tp = TP(self._table.source, partition.number)
            await self.seek(tp, partition.committed)
            self._follows[tp] = partition.committed
        self._seeks += 1


class _Transport(driver.Transport):
    Consumer = _Consumer
    table: CheckpointTable


def read_committed(app: faust.App, table: CheckpointTable) -> None:
    """Let *app* read committed records from where *table*'s checkpoints are."""
    transport = _Transport(app.conf.broker_consumer, app)
    transport.table = table
    app.transport = transport
