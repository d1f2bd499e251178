"""The Faust app: one agent over ``postfix.raw``, one table, checkpoints on a clock.

Batches are acknowledged after their checkpoint, never before; a checkpoint that fails ends the process, which its
supervisor starts again. docs/decisions/0001-checkpoints.md has the reasons.
"""

import asyncio
import time
from collections.abc import Iterator
from typing import Any, Final

import faust
from faust.types import EventT, Message
from faust.types.transports import ConsumerT
from mode.supervisors import CrashingSupervisor

from schemas.dead_letters import letter_of
from schemas.errors import BadRecordError, ConfigurationError, JournalPostfixError
from schemas.figures import Figure
from schemas.kafka import client_config
from schemas.raw import decode_batch
from schemas.settings import Settings
from schemas.topics import Topics
from streams.committed_reads import Consumer, read_committed
from streams.credentials import faust_credentials
from streams.order import Order
from streams.partitions import SourcePartition
from streams.restoring import Restorer
from streams.state import PartitionState
from streams.table import CheckpointTable, TableManager
from streams.transactions import Transactions

_METADATA_MS: Final = 30_000
"""How soon partitions that were added are noticed."""
_FETCHED_AT_ONCE: Final = 1024 * 1024
"""Bytes of each partition, and compressed: what they unpack to is held in memory."""
_LONGEST_REBALANCE_SECONDS: Final = 300
_LONGEST_LOST_SESSIONS: Final = 10
"""In session timeouts: how long the group may take to tell that a partition is another worker's."""


class StuckError(JournalPostfixError):
    """A rebalance does not end: Faust gives up on some of them without a word."""


class _FaustApp(faust.App):
    table: CheckpointTable

    async def _consumer_wait_empty(self, consumer: ConsumerT, logger: Any) -> None:
        # Partitions may be about to go, or the process to end: what is merged is written now, not at the next tick.
        await self.table.flush()
        await super()._consumer_wait_empty(consumer, logger)


class StreamApp:
    """The app with its table and agent."""

    def __init__(self, settings: Settings, topics: Topics, partitions: int, datadir: str) -> None:
        """Make the app for *topics*, each of *partitions*; Faust keeps a lock file or two in *datadir*."""
        self.settings = settings
        self.topics = topics
        stream = settings.stream
        self.faust = _FaustApp(
            stream.application,
            broker=[f"kafka://{server.strip()}" for server in (settings.kafka.bootstrap_servers or "").split(",")],
            broker_credentials=faust_credentials(settings.kafka),
            key_serializer="raw",
            value_serializer="raw",
            web_enabled=False,
            topic_partitions=partitions,
            topic_replication_factor=settings.kafka.replication_factor,
            topic_disable_leader=True,
            topic_allow_declare=False,
            consumer_auto_offset_reset="none",  # a position that the broker lost is an error, not a jump
            datadir=datadir,
            broker_session_timeout=stream.session_timeout_seconds,
            # Who is not heard of leaves a rebalance with its session; who restores or writes is waited for.
            broker_rebalance_timeout=max(_LONGEST_REBALANCE_SECONDS, 2 * stream.session_timeout_seconds),
            broker_heartbeat_interval=stream.session_timeout_seconds / 5,
            broker_request_timeout=max(90.0, 1.5 * stream.session_timeout_seconds),
            broker_commit_interval=0.5,
            TableManager=TableManager,
            agent_supervisor=CrashingSupervisor,
            table_standby_replicas=0,
            consumer_max_fetch_size=_FETCHED_AT_ONCE,
            consumer_metadata_max_age_ms=_METADATA_MS,
            worker_redirect_stdouts=False,
        )
        self.table = CheckpointTable(
            self.faust, name="messages", partitions=partitions, key_type=bytes, value_type=bytes, use_partitioner=True
        )
        self.table.source = topics.raw.name
        self.table.new_partition = self._new_partition
        self.table.restorer = Restorer(
            client_config(settings.kafka, f"{stream.application}-restore"), topics.changelog.name, topics.raw.name
        )
        self.faust.tables.add(self.table)
        self.faust.table = self.table
        self._rebalancing_since: float | None = None
        read_committed(self.faust, self.table)
        self._order = Order(self.faust, self.table.fail)
        raw = self.faust.topic(topics.raw.name, key_type=bytes, value_type=bytes, partitions=partitions)
        self.faust.agent(raw, name="merge", concurrency=1)(self._merge)
        self.faust.task(self._tick)

    def figures(self) -> Iterator[Figure]:
        """Yield what there is to tell of the partitions that this worker owns."""
        for partition in list(self.table.owned.values()):
            yield from partition.figures()
        yield Figure("stream_retries_total", self._retries())

    def _retries(self) -> int:
        """Return how often something of this worker was tried again."""
        consumer = self.faust.consumer
        fetches = consumer.failed_fetches if isinstance(consumer, Consumer) else 0
        return fetches + sum(partition.retries for partition in list(self.table.owned.values()))

    def _new_partition(self, number: int) -> SourcePartition:
        application = self.settings.stream.application
        name = f"{application}-{number}"
        transactions = Transactions(number, client_config(self.settings.kafka, name), name, self.topics.progress.name)
        state = PartitionState(number, self.topics, self.settings.stream)
        return SourcePartition(number, state, transactions, self.topics)

    async def _merge(self, stream: Any) -> None:
        most = self.settings.stream.checkpoint_batches
        async for event in stream.noack().events():
            message = event.message
            partition = self.table.owned.get(message.partition)
            if partition is None or not self._order.is_next(partition, message):
                event.ack()
                continue
            self._merge_record(partition, event)
            partition.state.progress.next_offset = message.offset + 1
            partition.events.append(event)
            if len(partition.events) >= most:
                if partition.inflight is not None:
                    await asyncio.wait([partition.inflight])
                self.table.checkpoint(partition)

    def _merge_record(self, partition: SourcePartition, event: EventT[Any]) -> None:
        message = event.message
        try:
            batch = decode_batch(message.value or b"")
        except BadRecordError as error:
            self._refuse(partition, message, str(error))
        else:
            partition.state.progress.letters_in_a_row = 0
            try:
                partition.merge(batch)
            except ConfigurationError as error:
                self.table.fail(error)

    def _refuse(self, partition: SourcePartition, message: Message, reason: str) -> None:
        """Make a dead letter of a record; halt where there are too many in a row: no topic is drained into them.

        The count is part of the checkpoints, so that a worker that is started again does not begin anew.
        """
        limit, progress = self.settings.stream.bad_records_in_a_row, partition.state.progress
        if progress.letters_in_a_row >= limit:
            self.table.fail(
                ConfigurationError(
                    f"more than {limit} records in a row of partition {message.partition} of {message.topic} are no "
                    f"batches of log lines, the next at offset {message.offset} ({reason}); halted. Look for what "
                    "writes there besides `journal-postfix produce`; to pass over them all the same, raise "
                    "stream.bad_records_in_a_row"
                )
            )
        progress.letters_in_a_row += 1
        topic, at, offset = message.topic, message.partition, message.offset
        partition.state.refuse(letter_of("stream", reason, topic, at, offset, message.key, message.value))

    async def _tick(self) -> None:
        while True:  # goes on while the app stops: the last events need their acknowledgements
            period = 0.1 if self.faust.should_stop else self.settings.stream.checkpoint_seconds
            await asyncio.sleep(period)
            for partition in list(self.table.owned.values()):
                self.table.checkpoint(partition)
            self._measure_lags()
            self._watch_rebalance()
            self.table.watch_lost(period, _LONGEST_LOST_SESSIONS * self.settings.stream.session_timeout_seconds)
            self._order.watch(self.table.owned.values())

    def _measure_lags(self) -> None:
        if isinstance(consumer := self.faust.consumer, Consumer):
            for partition in self.table.owned.values():
                consumer.measure(partition)

    def _watch_rebalance(self) -> None:
        if not self.faust.rebalancing or self.table.restoring:
            self._rebalancing_since = None
            return
        since = self._rebalancing_since = self._rebalancing_since or time.monotonic()
        limit = 2 * max(_LONGEST_REBALANCE_SECONDS, 2 * self.settings.stream.session_timeout_seconds)
        if time.monotonic() - since > limit:
            self.table.fail(StuckError(f"Kafka has not divided the partitions for {limit:.0f} s: starting afresh"))
