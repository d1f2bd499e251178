"""Records that cannot be stored go to ``postfix.dead-letter``, acknowledged before the position moves past them."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import structlog
from confluent_kafka import Producer

from schemas.dead_letters import MAX_VALUE, DeadLetter
from schemas.deliveries import encode_record
from schemas.errors import ConfigurationError, TryAgainLaterError
from schemas.kafka import client_config
from schemas.settings import Settings

MOST_IN_A_ROW: Final = 100
"""Refused records without a stored one between before the stage halts: a bad release must not drain a topic."""

_FLUSH_SECONDS: Final = 15
_MOST_REASON: Final = 500

log = structlog.get_logger()

Refusals = Mapping[int, str]
"""Why records of a batch can't be stored, by their place in it."""


def runs(count: int, refused: Refusals, before: int) -> tuple[int, int]:
    """Return the longest run of refused records among *count*, and that at the end; *before* came directly before."""
    longest = run = before
    for place in range(count):
        run = run + 1 if place in refused else 0
        longest = max(longest, run)
    return longest, run


class DeadLetters:
    """Writes dead letters, and halts where there is nothing else."""

    def __init__(self, settings: Settings, topic: str) -> None:
        """Write to *topic*."""
        self._topic = topic
        self._producer = Producer({**client_config(settings.kafka, "journal-postfix-sink"), "enable.idempotence": True})
        self._before = 0

    def check(self, records: Sequence[Any], refused: Refusals) -> None:
        """Raise ConfigurationError where too many records in a row are refused; these are in no topic then."""
        longest, _ = runs(len(records), refused, self._before)
        if longest > MOST_IN_A_ROW:
            last = max(refused)
            raise ConfigurationError(
                f"{longest} records in a row can't be stored, such as {_where(records[last])}: {refused[last]}; "
                "halted, none of them was skipped. Look at what writes to this topic, and at the versions of the stages"
            )

    def write(self, records: Sequence[Any], refused: Refusals) -> None:
        """Write the refused ones of *records* and wait until Kafka has them. Raises TryAgainLaterError."""
        failures: list[str] = []
        for place, reason in sorted(refused.items()):
            record = records[place]
            where = _where(record)
            log.warning("record refused", where=where, reason=reason)
            value = record.value() or b""
            letter = DeadLetter(
                at=datetime.now(UTC).isoformat(),
                stage="sink",
                reason=reason[:_MOST_REASON],
                topic=record.topic(),
                partition=record.partition(),
                offset=record.offset(),
                key=record.key(),
                value=value[:MAX_VALUE],
                length=len(value),
            )
            key = f"{record.topic()}/{record.partition()}/{record.offset()}".encode()
            self._producer.produce(
                self._topic,
                encode_record(letter),
                key,
                on_delivery=lambda error, _: failures.append(error.str()) if error else None,
            )
        if self._producer.flush(_FLUSH_SECONDS) or failures:
            why = failures[0] if failures else "no answer"
            raise TryAgainLaterError(f"Kafka does not take dead letters for {self._topic} ({why}); nothing was skipped")

    def stored(self, count: int, refused: Refusals) -> None:
        """Note that the others of *count* records were stored."""
        _, self._before = runs(count, refused, self._before)


def _where(record: Any) -> str:
    return f"{record.topic()}[{record.partition()}] at offset {record.offset()}"
