"""The thread that fetches: committed records only, each with its place in the log.

It goes on through what Kafka's clients take for errors, and may be asked at any time how far the log goes.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError, NoOffsetForPartitionError, OffsetOutOfRangeError
from faust.exceptions import ConsumerNotStarted
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from schemas.errors import TryAgainLaterError
from streams.restoring import position_lost
from streams.table import CheckpointTable

log = structlog.get_logger()

UNKNOWN: Final = 1 << 63
"""Offset that a record follows of which nobody knows what was before it: later than any."""
_LONGEST_ERROR_SECONDS: Final = 120
_ANSWER_SECONDS: Final = 10.0


class FetchThread(driver.AIOKafkaConsumerThread):
    """The thread that fetches. What is here runs in it, so that no seek comes in the midst of a fetch."""

    table: CheckpointTable
    """Told of what ends the worker."""

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
        """Forget what was fetched: nobody knows where reading goes on."""
        self.fetched.clear()
        await super().on_partitions_revoked(revoked)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Let partitions be taken over, and show the group meanwhile that this worker lives."""
        self.fetched.clear()
        consumer = self._ensure_consumer()
        # Until a seek says where to begin: a fetch that waits at the changelog's end keeps all others waiting.
        consumer.pause(*consumer.assignment())
        # aiokafka begins only when this returns, and restoring may take longer than the session lasts.
        consumer._coordinator._start_heartbeat_task()  # noqa: SLF001
        await super().on_partitions_assigned(assigned, generation_id)

    async def _fetch_records(self, *args: Any, **kwargs: Any) -> Any:
        try:
            fetched = await super()._fetch_records(*args, **kwargs)
        except NoOffsetForPartitionError:
            return {}  # a partition that is new to the group: the seek to its checkpoint is on the way
        except OffsetOutOfRangeError as error:
            ((partition, offset),) = error.args[0].items()
            self.table.fail(position_lost(partition.topic, partition.partition, offset))
            raise
        except KafkaError as error:
            await self._bear(error)
            return {}
        self._failing_since = None
        return {tp: self._following(tp, records) for tp, records in fetched.items()}

    async def _bear(self, error: KafkaError) -> None:
        """Wait a little where Kafka gives no records: a coordinator that moves, a leader that is elected."""
        since = self._failing_since = self._failing_since or time.monotonic()
        if time.monotonic() - since > _LONGEST_ERROR_SECONDS:
            self.table.fail(TryAgainLaterError(f"Kafka gives no records: {error}"))
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
        consumer, partition = self._ensure_consumer(), TopicPartition(tp.topic, tp.partition)
        consumer.seek(partition, offset)
        consumer.resume(partition)
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

    async def is_behind(self, tp: TP) -> bool:
        """Tell whether Kafka, asked anew, has records of *tp* after those that were fetched."""
        partition = TopicPartition(tp.topic, tp.partition)
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                ends: dict[TopicPartition, int] = await self._ensure_consumer().end_offsets([partition])
        except (KafkaError, ConsumerNotStarted, TimeoutError):
            return False  # that is Kafka's trouble, which shows elsewhere
        told = self.ends(tp)
        return (self.fetched.get(tp, 0) if told is None else told[1]) < ends[partition]

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
