"""Records that cannot be stored go to ``postfix.dead-letter``, acknowledged before the position moves past them."""

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

_FLUSH_SECONDS: Final = 30

log = structlog.get_logger()


class DeadLetters:
    """Writes dead letters, and halts where there are nothing but."""

    def __init__(self, settings: Settings, topic: str) -> None:
        """Write to *topic*."""
        self._topic = topic
        self._producer = Producer({**client_config(settings.kafka, "journal-postfix-sink"), "enable.idempotence": True})
        self._in_a_row = 0

    def stored(self) -> None:
        """Note that records were stored."""
        self._in_a_row = 0

    def write(self, record: Any, reason: str) -> None:
        """Write one refused Kafka record. Raises ConfigurationError at the limit."""
        self._in_a_row += 1
        where = f"{record.topic()}[{record.partition()}] at offset {record.offset()}"
        log.warning("record refused", where=where, reason=reason)
        value = record.value() or b""
        letter = DeadLetter(
            at=datetime.now(UTC).isoformat(),
            stage="sink",
            reason=reason,
            topic=record.topic(),
            partition=record.partition(),
            offset=record.offset(),
            key=record.key(),
            value=value[:MAX_VALUE],
            length=len(value),
        )
        self._producer.produce(self._topic, encode_record(letter), key=where.encode())
        if self._in_a_row > MOST_IN_A_ROW:
            self.flush()
            raise ConfigurationError(
                f"{self._in_a_row} records in a row were refused, the last in {where} ({reason}); halted. They are in "
                f"{self._topic}; look at what writes to these topics, and at the versions of stream and sink"
            )

    def flush(self) -> None:
        """Wait until Kafka has all of them. Raises TryAgainLaterError."""
        if self._producer.flush(_FLUSH_SECONDS):
            raise TryAgainLaterError("Kafka does not take the dead letters; nothing was skipped")
