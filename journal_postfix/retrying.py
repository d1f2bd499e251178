"""Try dead letters again: what the stream stage refused goes back to its topic, what the sink refused to the database.

Neither can spoil anything: lines that are read twice change no row, and a row merges into what is there in any order.
The output topics are not written: they are compacted, and an old version of a row would replace the newer ones.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any, Final

import msgspec
from confluent_kafka import KafkaError, KafkaException, Producer

from journal_postfix.broker import brokers_named, quiet_config
from journal_postfix.dead_letters import Letter
from journal_postfix.withdrawals import withdrawn
from schemas.dead_letters import letter_key
from schemas.errors import BadRecordError, JournalPostfixError, TryAgainLaterError, one_line
from schemas.kafka import NOTHING_LOST
from schemas.raw import decode_batch
from schemas.settings import Settings
from schemas.topics import Topics, topics_of
from sinks.batches import Batch
from sinks.writing import REFUSALS, Writer

_FLUSH_SECONDS: Final = 30
_FEED_AGAIN: Final = "feed its log again: journal-postfix produce stdin < FILE (lines read before change nothing)"


class Outcome(msgspec.Struct, frozen=True):
    """What became of one letter."""

    letter: Letter
    done: bool
    what: str
    """What was done, or why nothing was."""


def needs_database(letters: Sequence[Letter]) -> bool:
    """Tell whether some go to the database."""
    return any(letter.letter.stage == "sink" for letter in letters)


def retry(settings: Settings, letters: Sequence[Letter], *, dry_run: bool = False) -> Iterator[Outcome]:
    """Try *letters* again and yield what became of each; with *dry_run*, what would, as far as that can be told.

    A letter is done when Kafka or PostgreSQL has acknowledged what it held; it is no longer listed then. Raises
    TryAgainLaterError and ConfigurationError where Kafka or the database can't be used.
    """
    topics = topics_of(settings.kafka, settings.stream)
    with closing(_Retrying(settings, topics, dry_run=dry_run)) as retrying:
        gone = withdrawn(settings, topics, [letter for letter in letters if letter.letter.stage == "sink"])
        for letter in letters:
            if letter.number in gone:
                outcome = Outcome(letter, done=True, what="withdrawn since: its row came again under another arrival")
            else:
                outcome = retrying.one(letter)
            if outcome.done:
                retrying.settle(letter)
            yield outcome


class _Retrying:
    def __init__(self, settings: Settings, topics: Topics, *, dry_run: bool) -> None:
        self._settings, self._topics, self._dry_run = settings, topics, dry_run
        self._producer = Producer(quiet_config(settings, "journal-postfix-retry") | NOTHING_LOST)
        self._writer: Writer | None = None

    def one(self, letter: Letter) -> Outcome:
        stage = letter.letter.stage
        if not letter.whole:
            what = f"only {len(letter.letter.value)} of its {letter.letter.length} bytes were kept"
            if stage == "producer":
                what += f"; raise producer.max_line_bytes, then {_FEED_AGAIN}"
            return Outcome(letter, done=False, what=what)
        if stage == "stream":
            return self._to_stream(letter)
        if stage == "sink":
            return self._to_database(letter)
        return Outcome(letter, done=False, what=f"it never was in a topic; {_FEED_AGAIN}")

    def settle(self, letter: Letter) -> None:
        """Say that *letter* is done."""
        if not self._dry_run:
            self._produce(self._topics.dead_letter.name, None, letter_key(letter.letter), 0)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()

    def _to_stream(self, letter: Letter) -> Outcome:
        found = letter.letter
        try:
            batch = decode_batch(found.value)
        except BadRecordError as error:
            return Outcome(letter, done=False, what=f"still refused: {error}")
        if found.topic is None or found.partition is None:
            return Outcome(letter, done=False, what="it does not say where it came from")
        if not self._dry_run:
            self._produce(found.topic, found.value, found.key, found.partition)
        return Outcome(letter, done=True, what=f"{len(batch.lines)} lines to {found.topic}[{found.partition}]")

    def _to_database(self, letter: Letter) -> Outcome:
        found, batch = letter.letter, Batch()
        try:
            batch.add(self._topics, found.topic or "", found.key, found.value)
        except BadRecordError as error:
            return Outcome(letter, done=False, what=f"still refused: {error}")
        writer = self._writer = self._writer or Writer(self._settings)
        reason = writer.refusal(batch)
        if reason is None and not self._dry_run:
            try:
                writer.write(batch, {})
            except REFUSALS as error:  # it was taken a moment ago
                reason = one_line(error)
        if reason is not None:
            return Outcome(letter, done=False, what=f"still refused: {reason}")
        return Outcome(letter, done=True, what=f"{len(batch)} row to database {self._settings.database.dbname}")

    def _produce(self, topic: str, value: bytes | None, key: bytes | None, partition: int) -> None:
        """Write a record and wait until Kafka has it. Raises TryAgainLaterError."""
        failures: list[KafkaError] = []

        def delivered(error: KafkaError | None, _: Any) -> None:
            if error is not None:
                failures.append(error)

        try:
            self._producer.produce(topic, value, key, partition, on_delivery=delivered)
            waiting = self._producer.flush(_FLUSH_SECONDS)
        except KafkaException as error:
            raise self._not_taken(topic, error.args[0].str()) from None
        if waiting or failures:
            raise self._not_taken(topic, failures[0].str() if failures else "no answer")

    def _not_taken(self, topic: str, why: str) -> JournalPostfixError:
        return TryAgainLaterError(f"{brokers_named(self._settings)} does not take a record of {topic}: {why}")
