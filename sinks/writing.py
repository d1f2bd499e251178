"""Writes batches: rows and positions in one transaction, merged into what is there."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final, NamedTuple

import msgspec
import psycopg2
import psycopg2.errors
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from schemas.errors import one_line
from schemas.settings import Settings
from sinks import withholding
from sinks.batches import Batch
from sinks.connecting import connect
from sinks.day_partitions import DayPartitions
from sinks.known_names import KnownNames, Name, names_of
from sinks.merging import Merging, columns_of, query
from sinks.staging import FROM, TO, Copies, copies_of, stage

TopicPartition = tuple[str, int]

_WORK_MEM: Final = "32MB"
"""To sort a batch in memory: rows take about a kilobyte."""

REFUSALS: Final = (
    psycopg2.DataError,
    psycopg2.IntegrityError,
    psycopg2.errors.ProgramLimitExceeded,  # an OperationalError, but no server takes a key of that length
    ValueError,
)
"""What psycopg2 raises for a row that can't be stored: a NUL or a lone surrogate is a ValueError there."""


class PositionMovedError(Exception):
    """Another sink has written since: this one's view of its partitions is old, and it must start afresh."""


class Positions(msgspec.Struct, frozen=True):
    """What a batch covers of one partition: from the offset that the database has (None: none yet) to the next."""

    expected: int | None
    next: int
    refused_in_a_row: int = 0
    """Of the records before `next`, how many could not be stored one after the other."""
    topic_id: str | None = None
    """Kafka's id of the topic; None where it is not known."""


class Position(NamedTuple):
    """Where a partition is, as the database has it."""

    next: int
    refused_in_a_row: int
    topic_id: str | None


_MOVE_POSITIONS: Final = query("move_positions")
_BEGIN_POSITIONS: Final = query("begin_positions")


class Ready(msgspec.Struct, frozen=True):
    """What can be made of a batch while PostgreSQL merges the one before."""

    days: dict[str, set[str]]
    """By table."""
    names: set[Name]
    copies: Copies | None
    """None where the texts can't be made."""


def ready(batch: Batch) -> Ready:
    """Return what can be made of *batch* beforehand."""
    try:
        copies = copies_of(batch)
    except ValueError:
        copies = None
    return Ready(batch.days_by_table(), names_of(batch), copies)


class Writer:
    """A connection that writes batches."""

    def __init__(self, settings: Settings) -> None:
        """Connect and prepare. Raises ConfigurationError, TryAgainLaterError."""
        self._connection: Connection = connect(settings.database)
        self._days = DayPartitions(self._connection, settings.sink.days_ahead)
        self._names = KnownNames(self._connection)
        self._merging = Merging(settings.stream.queue_lifetime_days)
        with self._connection, self._connection.cursor() as cursor:
            cursor.execute("SET work_mem = %s", (_WORK_MEM,))
            self._merging.prepare(cursor)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def positions(self, topics: Sequence[str]) -> dict[TopicPartition, Position]:
        """Return the position of each partition of *topics* that was written before."""
        with self._connection, self._connection.cursor() as cursor:
            cursor.execute(
                "SELECT topic, partition, next_offset, refused_in_a_row, topic_id FROM sink_positions"
                " WHERE topic = ANY(%s)",
                (list(topics),),
            )
            return {(topic, partition): Position(*found) for topic, partition, *found in cursor.fetchall()}

    def write(self, batch: Batch, positions: Mapping[TopicPartition, Positions], made: Ready | None = None) -> None:
        """Store *batch* and *positions*, both or neither; *made* is what was made of the batch before, if it was.

        Raises PositionMovedError, and what psycopg2 raises; nothing was stored then.
        """
        made = made or ready(batch)
        days, copies = set().union(*made.days.values()), made.copies
        self._days.ensure(days)
        names = made.names
        while True:
            if self._names.ensure(batch, days, names):
                copies = None
            with self._connection, self._connection.cursor() as cursor:
                withheld = withholding.read(cursor)
                if not self._names.is_new(withheld.erased):
                    if withheld.apply(batch, days):
                        copies = None
                    # First what locks nothing that others need: a sink that is frozen in a COPY keeps its transaction.
                    stage(cursor, copies_of(batch) if copies is None else copies)
                    _advance(cursor, positions)
                    self._merging.merge(cursor, batch, withheld)
                    break
            names = names_of(batch)
        for table in ("delivery_from", "delivery_to"):
            self._days.analyze(table, made.days[table])

    def join_parts(self, first: datetime, last: datetime) -> None:
        """Let the part rows that arrived between the two moments join their messages, as those of a batch do.

        Raises what psycopg2 raises.
        """
        with self._connection, self._connection.cursor() as cursor:
            for staged in (FROM, TO):
                cursor.execute(
                    f"INSERT INTO {staged.table} SELECT * FROM {staged.target} "  # noqa: S608
                    "WHERE origin = 0 AND arrived_at BETWEEN %s AND %s",
                    (first, last),
                )
            self._merging.join_parts(cursor, first, last, withholding.read(cursor))

    def refusal(self, batch: Batch) -> str | None:
        """Return why PostgreSQL refuses something in *batch*, or None; nothing is stored.

        Raises what psycopg2 raises where the fault does not lie in the batch.
        """
        try:
            self._days.ensure(batch.days())
            with self._connection.cursor() as cursor:
                stage(cursor, copies_of(batch))
                self._merging.merge(cursor, batch, None)
        except REFUSALS as error:
            return one_line(error) or type(error).__name__
        finally:
            if not self._connection.closed:
                self._connection.rollback()
        return None

    def cancel(self) -> None:
        """Cancel the statement that runs, if one does; from another thread."""
        with suppress(psycopg2.Error):
            self._connection.cancel()


def _advance(cursor: Cursor, positions: Mapping[TopicPartition, Positions]) -> None:
    """Move *positions* on: all at once, since there may be hundreds, and each statement is a way to the server."""
    for statement, new in ((_MOVE_POSITIONS, False), (_BEGIN_POSITIONS, True)):
        rows = [
            (*partition, position.expected, position.next, position.refused_in_a_row, position.topic_id)
            for partition, position in positions.items()
            if (position.expected is None) == new
        ]
        if not rows:
            continue
        cursor.execute(statement, columns_of(rows))
        done = set(cursor.fetchall())
        for topic, partition, expected, *_ in rows:
            if (topic, partition) not in done:
                raise PositionMovedError(f"{topic}[{partition}] is not at {expected} any more")
