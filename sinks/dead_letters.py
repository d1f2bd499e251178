"""Records that cannot be stored go to ``postfix.dead-letter``, acknowledged before the position moves past them."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import structlog
from confluent_kafka import KafkaException, Producer

from schemas.dead_letters import DeadLetter, letter_key, letter_of
from schemas.deliveries import encode_record
from schemas.errors import ConfigurationError, TryAgainLaterError
from schemas.kafka import NOTHING_LOST, client_config, quiet
from schemas.settings import Settings

_FLUSH_SECONDS: Final = 15

log = structlog.get_logger()

Refusals = Mapping[int, str]
"""Why records of a batch can't be stored, by their place in it."""


Runs = Mapping[tuple[str, int], int]
"""How many records of a partition were refused one after the other, up to where it is."""


class DeadLetters:
    """Writes dead letters, and halts where there is nothing else: a bad release must not drain a topic into them."""

    def __init__(self, settings: Settings, topic: str) -> None:
        """Write to *topic*."""
        self._topic = topic
        config = client_config(settings.kafka, "journal-postfix-sink")
        self._producer = Producer({**config, **NOTHING_LOST, "logger": quiet})
        self._limit = settings.sink.bad_records_in_a_row
        self._runs: dict[tuple[str, int], int] = {}

    def resume(self, runs: Runs) -> None:
        """Go on from what the database says of the assigned partitions."""
        self._runs = dict(runs)

    def check(self, records: Sequence[Any], refused: Refusals) -> Runs:
        """Return the runs of refused records after *records*.

        Raises ConfigurationError where one is too long; the refused of *records* are in no topic then.
        """
        runs = dict(self._runs)
        if not refused and not any(runs.values()):
            return runs
        for place, record in enumerate(records):
            at = (record.topic(), record.partition())
            run = runs[at] = runs.get(at, 0) + 1 if place in refused else 0
            if run > self._limit:
                raise ConfigurationError(
                    f"more than {self._limit} records in a row can't be stored, such as {_where(record)}: "
                    f"{refused[place]}; halted, none of them was skipped. Look at what writes to this topic, and at "
                    "the versions of the stages; to pass over them all the same, raise sink.bad_records_in_a_row"
                )
        return runs

    def write(self, records: Sequence[Any], refused: Refusals) -> None:
        """Write the refused ones of *records* and wait until Kafka has them. Raises TryAgainLaterError."""
        failures: list[str] = []
        for place, reason in sorted(refused.items()):
            record = records[place]
            log.warning("record refused", where=_where(record), reason=reason)
            at = record.topic(), record.partition(), record.offset()
            letter = letter_of("sink", reason, *at, record.key(), record.value())
            try:
                self._produce(letter, failures)
            except BufferError:  # the library's own queue is full
                if self._producer.flush(_FLUSH_SECONDS):
                    raise self._not_taken("no answer") from None
                self._produce(letter, failures)
            except KafkaException as error:
                raise self._not_taken(error.args[0].str()) from error
        if self._producer.flush(_FLUSH_SECONDS) or failures:
            raise self._not_taken(failures[0] if failures else "no answer")

    def _produce(self, letter: DeadLetter, failures: list[str]) -> None:
        self._producer.produce(
            self._topic,
            encode_record(letter),
            letter_key(letter),
            on_delivery=lambda error, _: failures.append(error.str()) if error else None,
        )

    def _not_taken(self, why: str) -> TryAgainLaterError:
        return TryAgainLaterError(f"Kafka does not take dead letters for {self._topic} ({why}); nothing was skipped")

    def stored(self, runs: Runs) -> None:
        """Note that what led to *runs* was stored."""
        self._runs = dict(runs)


def _where(record: Any) -> str:
    return f"{record.topic()}[{record.partition()}] at offset {record.offset()}"
