"""The transactional producer of one source partition: fences who had it, writes a checkpoint whole or not at all.

Its transactional id belongs to the partition. What may work when tried again is tried again, for about a minute:
a broker that restarts takes a while.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from contextlib import suppress
from typing import Any, Final

import structlog
from confluent_kafka import KafkaError, KafkaException, Producer

from schemas.errors import JournalPostfixError, TryAgainLaterError
from schemas.kafka import NOTHING_LOST
from streams.outputs import Write

log = structlog.get_logger()

LIBRDKAFKA: Final = logging.getLogger("librdkafka")
"""Gets what librdkafka would print: what matters of it is in the errors that it raises."""

_CONNECTION_SECONDS: Final = 2
_ANSWER_SECONDS: Final = 20
_CALLS: Final = 4
_ABORTS: Final = 6
_TRANSACTION_MS: Final = 60_000


class CheckpointFailedError(JournalPostfixError):
    """A checkpoint could not be committed: nothing of it was written, and the worker must start afresh."""


class FencedError(CheckpointFailedError):
    """Another worker has taken the partition, or the broker has given up the transaction."""


_TAKEN: Final = frozenset(
    {KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH}  # noqa: SLF001 - its names
)
"""What is heard when another has the transactional id, or the broker gave up a transaction that took too long."""


class Transactions:
    """Writes the checkpoints of partition *number*, one at a time."""

    def __init__(self, number: int, config: dict[str, Any], transactional_id: str, topic: str) -> None:
        """Fence who used *transactional_id* so far, and end what it left open. Blocks. Raises TryAgainLaterError.

        *topic* is one that will be written to.
        """
        self._number = number
        self.retries = 0
        """How often a call to the broker, or a whole checkpoint, was tried again."""
        self._first_abort: KafkaError | None = None
        """Why the checkpoint that is being written was aborted first."""
        self._producer = Producer(
            {
                **config,
                **NOTHING_LOST,
                "transactional.id": transactional_id,
                "transaction.timeout.ms": _TRANSACTION_MS,
                "linger.ms": 5,
                "compression.type": "lz4",
                "message.max.bytes": 1024 * 1024,
            },
            logger=LIBRDKAFKA,
        )
        try:
            with suppress(KafkaException):  # once it is connected: it would look again after half a second only
                self._producer.list_topics(topic, _CONNECTION_SECONDS)
            self._insist(lambda: self._producer.init_transactions(_ANSWER_SECONDS))
        except KafkaException as exception:
            raise TryAgainLaterError(
                f"cannot take over partition {number}: {exception.args[0].str()}; is Kafka well?"
            ) from exception

    async def write(self, writes: Iterable[Write], executor: Executor) -> None:
        """Write all of *writes* or none. Raises CheckpointFailedError."""
        loop = asyncio.get_running_loop()
        self._first_abort = None
        for attempt in range(_ABORTS):
            try:
                self._producer.begin_transaction()
                await self._produce(writes)  # in the loop, not in the thread: both threads at it is slower
                await loop.run_in_executor(executor, self._commit)
            except KafkaException as exception:
                error = exception.args[0]
                if not error.txn_requires_abort():
                    raise self._failed(error) from exception
                log.warning(
                    "checkpoint aborted, writing it again", partition=self._number, attempt=attempt, why=error.str()
                )
                self.retries += 1
                self._first_abort = self._first_abort or error
                await loop.run_in_executor(executor, self._abort)
            else:
                return
        raise CheckpointFailedError(f"partition {self._number}: aborted {_ABORTS} times{self._why_first()}")

    async def _produce(self, writes: Iterable[Write]) -> None:
        produce = self._producer.produce
        for write in writes:
            number = self._number if write.partition is None else write.partition
            while True:
                try:
                    produce(write.topic, write.value, write.key, number)
                    break
                except BufferError:  # the queue is full: let it drain, and others work
                    self._producer.poll(0)
                    await asyncio.sleep(0.01)

    def _commit(self) -> None:
        self._insist(lambda: self._producer.commit_transaction(_ANSWER_SECONDS))

    def _abort(self) -> None:
        try:
            self._insist(lambda: self._producer.abort_transaction(_ANSWER_SECONDS))
        except KafkaException as exception:
            raise self._failed(exception.args[0]) from exception

    def _insist(self, call: Callable[[], None]) -> None:
        """Call again while librdkafka says that the same call may work."""
        for left in reversed(range(_CALLS)):
            try:
                call()
            except KafkaException as exception:
                error = exception.args[0]
                if not left or not error.retriable():
                    raise
                self.retries += 1
                log.warning("the broker does not answer, trying on", partition=self._number, why=error.str())
            else:
                return

    def _failed(self, error: KafkaError) -> CheckpointFailedError:
        if error.code() == KafkaError._FATAL:  # noqa: SLF001 - produce() says no more; the next call has the reason
            try:
                self._producer.begin_transaction()
            except KafkaException as exception:
                error = exception.args[0]
        if error.code() in _TAKEN:
            return FencedError(
                f"partition {self._number} went to another worker, or its transaction took too long ({error.str()}); "
                "nothing is lost: who has it now goes on from the last checkpoint"
            )
        return CheckpointFailedError(
            f"partition {self._number}: {error.str()}{self._why_first()}; nothing is lost: the last checkpoint stands"
        )

    def _why_first(self) -> str:
        """Return what was wrong at first: what follows it may only say that a transaction can't go on."""
        return "" if self._first_abort is None else f" (at first: {self._first_abort.str()})"
