"""A Faust transport that reads committed records only, and whose commits follow the checkpoints.

Faust does the first only with its own ``exactly_once``; its own bookkeeping of commits stalls behind transaction markers.
"""

from typing import Any

import faust
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from streams.table import CheckpointTable


class _Thread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = "read_committed"  # noqa: SLF001 - aiokafka reads it when it starts
        return consumer


class _Consumer(driver.Consumer):  # type: ignore[misc]
    def _new_consumer_thread(self) -> _Thread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)

    @property
    def _table(self) -> CheckpointTable:
        table: CheckpointTable = self.transport.table
        return table

    def _new_offset(self, tp: TP) -> int | None:
        """Give the offset to commit: that of the last checkpoint, whatever was acknowledged."""
        self._acked[tp].clear()
        self._acked_index[tp].clear()
        self._gap.pop(tp, None)
        partition = self._table.owned.get(tp.partition)
        return partition.committed if partition is not None and tp.topic == self._table.source else None

    async def perform_seek(self) -> None:
        """Go on where the checkpoints are, not where the group's offsets are."""
        await super().perform_seek()
        for partition in self._table.owned.values():
            await self.seek(TP(self._table.source, partition.number), partition.committed)


class _Transport(driver.Transport):  # type: ignore[misc]
    Consumer = _Consumer
    table: CheckpointTable


def read_committed(app: faust.App, table: CheckpointTable) -> None:
    """Let *app* read committed records from where *table*'s checkpoints are."""
    transport = _Transport(app.conf.broker_consumer, app)
    transport.table = table
    app.transport = transport
