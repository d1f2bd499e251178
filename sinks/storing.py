"""Stores records: what can't be read or stored becomes a dead letter, and its neighbours are stored all the same."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from schemas.errors import BadRecordError, TryAgainLaterError
from schemas.settings import Settings
from schemas.topics import Topics
from sinks.batches import Batch
from sinks.dead_letters import DeadLetters, Runs
from sinks.writing import REFUSALS, Positions, Ready, TopicPartition, Writer, ready

_CHECKED_EVERY: Final = 100


class Prepared(msgspec.Struct, frozen=True):
    """Records, ready to be stored."""

    records: Sequence[Any]
    batch: Batch
    refused: dict[int, str]
    """Why some can't be read, by their place."""
    made: Ready
    """Where it has no texts, storing will tell of which record."""


class Store:
    """Writes batches of Kafka records through a `Writer`."""

    def __init__(self, settings: Settings, topics: Topics) -> None:
        """Take the names of *topics*. Nothing is written yet."""
        self._topics: Final = topics
        self._letters = DeadLetters(settings, topics.dead_letter.name)

    def resume(self, runs: Runs) -> None:
        """Go on with the partitions of *runs*, as the database has them."""
        self._letters.resume(runs)

    def prepare(self, records: Sequence[Any]) -> Prepared:
        """Do what needs no database; nobody is told of anything yet."""
        refused: dict[int, str] = {}
        batch = self._batch_of(records, range(len(records)), refused)
        return Prepared(records, batch, refused, ready(batch))

    def store(self, writer: Writer, prepared: Prepared, positions: Mapping[TopicPartition, Positions]) -> int:
        """Store what is *prepared* and *positions*, both or neither; return the number of dead letters.

        Raises ConfigurationError (nothing but bad records), TryAgainLaterError (no place for dead letters),
        PositionMovedError, and what psycopg2 raises for a server that does not do its part.
        """
        records, refused = prepared.records, prepared.refused
        letters = len(refused)
        runs = self._letters.check(records, refused)
        if refused:
            self._letters.write(records, refused)
        try:
            writer.write(prepared.batch, _with(positions, runs), prepared.made)
        except REFUSALS as error:
            found: dict[int, str] = {}
            readable = [place for place in range(len(records)) if place not in refused]
            self._find_refused(writer, records, readable, found)
            if not found:
                raise TryAgainLaterError(f"PostgreSQL refused a batch, but none of its records: {error}") from error
            runs = self._letters.check(records, refused | found)
            self._letters.write(records, found)
            places = [place for place in readable if place not in found]
            writer.write(self._batch_of(records, places, {}), _with(positions, runs))
            letters += len(found)
        self._letters.stored(runs)
        return letters

    def _batch_of(self, records: Sequence[Any], places: Sequence[int], refused: dict[int, str]) -> Batch:
        """Return the batch of the records at *places*; those that can't be read go to *refused*."""
        batch = Batch()
        for place in places:
            record = records[place]
            try:
                batch.add(self._topics, record.topic(), record.key(), record.value())
            except BadRecordError as error:
                refused[place] = str(error)
        return batch

    def _find_refused(
        self, writer: Writer, records: Sequence[Any], places: Sequence[int], found: dict[int, str]
    ) -> None:
        """Halve *places* until the records that PostgreSQL refuses stand alone; stop where there is nothing else."""
        if len(found) % _CHECKED_EVERY == _CHECKED_EVERY - 1:  # nothing but bad ones: that need not go on
            self._letters.check(records, found)
        if not places or (reason := writer.refusal(self._batch_of(records, places, {}))) is None:
            return
        if len(places) == 1:
            found[places[0]] = reason
            return
        half = len(places) // 2
        self._find_refused(writer, records, places[:half], found)
        self._find_refused(writer, records, places[half:], found)


def _with(positions: Mapping[TopicPartition, Positions], runs: Runs) -> dict[TopicPartition, Positions]:
    return {
        at: msgspec.structs.replace(position, refused_in_a_row=runs.get(at, 0)) for at, position in positions.items()
    }
