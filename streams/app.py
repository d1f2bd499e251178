"""The Faust app: one agent over ``postfix.raw``, one table, checkpoints on a clock.

Batches are acknowledged after their checkpoint, never before; a checkpoint that fails ends the process, which its
supervisor starts again. docs/decisions/0001-checkpoints.md has the reasons.
"""

import asyncio
import ssl
from datetime import UTC, datetime
from typing import Any, Final

import faust
from confluent_kafka import Producer
from faust.types import EventT
from mode.supervisors import CrashingSupervisor

from schemas.dead_letters import MAX_VALUE, DeadLetter
from schemas.errors import BadRecordError, ConfigurationError
from schemas.kafka import client_config
from schemas.raw import decode_batch
from schemas.settings import KafkaSettings, Settings
from schemas.topics import Topics
from streams.committed_reads import read_committed
from streams.partitions import SourcePartition
from streams.restoring import Restorer
from streams.state import PartitionState
from streams.table import CheckpointTable

MOST_LETTERS_IN_A_ROW: Final = 1000
"""Records that are no batch, one after the other, before the worker halts: a bad producer must not drain a topic."""

_REVOKE_SECONDS: Final = 8
_TRANSACTION_MS: Final = 60_000
_FENCE_SECONDS: Final = 30


class StreamApp:
    """The app with its table and agent."""

    def __init__(self, settings: Settings, topics: Topics, partitions: int, datadir: str) -> None:
        """Make the app for *topics*, each of *partitions*; Faust keeps a lock file or two in *datadir*."""
        self.settings = settings
        self.topics = topics
        stream = settings.stream
        self.faust = faust.App(
            stream.application,
            broker=[f"kafka://{server.strip()}" for server in (settings.kafka.bootstrap_servers or "").split(",")],
            broker_credentials=_credentials(settings.kafka),
            key_serializer="raw",
            value_serializer="raw",
            web_enabled=False,
            topic_partitions=partitions,
            topic_replication_factor=settings.kafka.replication_factor,
            topic_disable_leader=True,
            topic_allow_declare=False,
            consumer_auto_offset_reset="earliest",
            datadir=datadir,
            broker_session_timeout=stream.session_timeout_seconds,
            broker_rebalance_timeout=stream.session_timeout_seconds,
            broker_heartbeat_interval=stream.session_timeout_seconds / 5,
            broker_commit_interval=0.5,
            agent_supervisor=CrashingSupervisor,
            table_standby_replicas=0,
            consumer_max_fetch_size=4 * 1024 * 1024,
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
        read_committed(self.faust, self.table)
        raw = self.faust.topic(topics.raw.name, key_type=bytes, value_type=bytes, partitions=partitions)
        self.faust.agent(raw, name="merge", concurrency=1)(self._merge)
        self.faust.task(self._tick)
        self.faust.on_partitions_revoked.connect(self._revoked, weak=False)

    def _new_partition(self, number: int) -> SourcePartition:
        producer = Producer(
            {
                **client_config(self.settings.kafka, f"{self.settings.stream.application}-{number}"),
                "transactional.id": f"{self.settings.stream.application}-{number}",
                "transaction.timeout.ms": _TRANSACTION_MS,
                "linger.ms": 5,
                "compression.type": "lz4",
                "message.max.bytes": 1024 * 1024,
            }
        )
        producer.init_transactions(_FENCE_SECONDS)  # ends what the former owner left open
        state = PartitionState(number, self.topics, self.settings.stream)
        return SourcePartition(number, state, producer, (self.topics.changelog.name, self.topics.progress.name))

    async def _merge(self, stream: Any) -> None:
        most = self.settings.stream.checkpoint_batches
        async for event in stream.noack().events():
            partition = self.table.owned[event.message.partition]
            offset = event.message.offset
            if offset < partition.next:  # merged before: its checkpoint is committed, or will be
                event.ack()
                continue
            self._merge_record(partition, event)
            partition.state.progress.next_offset = offset + 1
            partition.events.append(event)
            if len(partition.events) >= most:
                if partition.inflight is not None:
                    await asyncio.wait([partition.inflight])
                self.table.checkpoint(partition)

    def _merge_record(self, partition: SourcePartition, event: EventT[Any]) -> None:
        message = event.message
        value = message.value or b""
        try:
            batch = decode_batch(value)
        except BadRecordError as error:
            partition.letters_in_a_row += 1
            partition.state.refuse(
                DeadLetter(
                    at=datetime.now(UTC).isoformat(),
                    stage="stream",
                    reason=str(error),
                    topic=message.topic,
                    partition=message.partition,
                    offset=message.offset,
                    key=message.key,
                    value=value[:MAX_VALUE],
                    length=len(value),
                )
            )
            if partition.letters_in_a_row > MOST_LETTERS_IN_A_ROW:
                self.table.fail(
                    ConfigurationError(
                        f"{partition.letters_in_a_row} records in a row of partition {message.partition} of "
                        f"{message.topic} are no batches of log lines, the last at offset {message.offset} ({error}); "
                        "halted. Look for what writes there besides `journal-postfix produce`"
                    )
                )
        else:
            partition.letters_in_a_row = 0
            partition.state.merge(batch)

    async def _tick(self) -> None:
        while True:  # goes on while the app stops: the last events need their acknowledgements
            await asyncio.sleep(0.1 if self.faust.should_stop else self.settings.stream.checkpoint_seconds)
            for partition in list(self.table.owned.values()):
                self.table.checkpoint(partition)

    async def _revoked(self, *_: Any, **__: Any) -> None:
        # All may be about to go elsewhere: write what they have. Those that come back go on with their state.
        await self.table.flush(_REVOKE_SECONDS)


def _credentials(kafka: KafkaSettings) -> Any:
    """Return Faust's form of what `schemas.kafka.client_config` gives librdkafka. Certificates are always checked."""
    context = None
    if kafka.security_protocol.endswith("SSL"):
        context = ssl.create_default_context(cafile=str(kafka.ssl_ca_file) if kafka.ssl_ca_file else None)
        if kafka.ssl_certificate_file is not None:
            context.load_cert_chain(kafka.ssl_certificate_file, kafka.ssl_key_file)
    if kafka.security_protocol.startswith("SASL"):
        return faust.SASLCredentials(
            mechanism=kafka.sasl_mechanism,
            username=kafka.sasl_username,
            password=kafka.sasl_secret(),
            ssl_context=context,
        )
    return faust.SSLCredentials(context) if context is not None else None
