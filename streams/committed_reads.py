"""A Faust transport that reads committed records only, and whose commits follow the checkpoints.

Faust does the first only with its own ``exactly_once``; its bookkeeping of commits stalls behind transaction markers.
"""

from collections.abc import Mapping

import faust
from aiokafka import AIOKafkaConsumer
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from streams.table import CheckpointTable


class _Thread(driver.AIOKafkaConsumerThread):
    def _create_worker_consumer(self, transport: driver.Transport) -> AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = "read_committed"  # noqa: SLF001 - aiokafka reads it when it starts
        return consumer


class _Consumer(driver.Consumer):
    def _new_consumer_thread(self) -> _Thread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)

    @property
    def _table(self) -> CheckpointTable:
        assert isinstance(self.transport, _Transport)
        return self.transport.table

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
        """Go on where the checkpoints are, not where the group's offsets are."""
        await super().perform_seek()
        for partition in self._table.owned.values():
            await self.seek(TP(self._table.source, partition.number), partition.committed)


class _Transport(driver.Transport):
    Consumer = _Consumer
    table: CheckpointTable


def read_committed(app: faust.App, table: CheckpointTable) -> None:
    """Let *app* read committed records from where *table*'s checkpoints are."""
    transport = _Transport(app.conf.broker_consumer, app)
    transport.table = table
    app.transport = transport
