"""Writes batches: rows and positions in one transaction, merged into what is there."""

import io
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from importlib.resources import files
from typing import Any, Final, NamedTuple

import msgspec
import psycopg2
import psycopg2.errors
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class
from psycopg2.extensions import cursor as Cursor  # noqa: N812
from psycopg2.sql import SQL

from schemas.errors import one_line
from schemas.settings import Settings
from sinks import withholding
from sinks.batches import Batch
from sinks.connecting import connect
from sinks.day_partitions import DayPartitions
from sinks.known_names import KnownNames, Name, names_of
from sinks.staging import FROM, NOQUEUE, TABLES, TLS_SESSIONS, TO, Staged, copy_text, read_rows
from sinks.withholding import Withheld

TopicPartition = tuple[str, int]

_COPIED_AT_ONCE: Final = 4 * 1024 * 1024
"""Bytes."""

_WORK_MEM: Final = "32MB"
"""To sort a batch in memory: rows take about a kilobyte."""

Copies = Sequence[tuple[Staged, bytes]]
"""The COPY texts of a batch."""

REFUSALS: Final = (
    psycopg2.DataError,
    psycopg2.IntegrityError,
    psycopg2.errors.ProgramLimitExceeded,  # an OperationalError, but no server takes a key of that length
    ValueError,
)
"""What psycopg2 raises for a row that can't be stored: a NUL or a lone surrogate is a ValueError there."""

_QUERIES: Final = files("sinks") / "queries"


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


def query(name: str) -> str:
    """Return the statement in ``sinks/queries/{name}.sql``."""
    return (_QUERIES / f"{name}.sql").read_text(encoding="utf-8")


_MOVE_POSITIONS: Final = query("move_positions")
_BEGIN_POSITIONS: Final = query("begin_positions")


def copies_of(batch: Batch) -> Copies:
    """Return the COPY texts of *batch*. Raises ValueError for a text that no encoding has."""
    rows: tuple[tuple[Staged, Mapping[Any, msgspec.Struct]], ...] = (
        (FROM, batch.messages),
        (TO, batch.deliveries),
        (NOQUEUE, batch.rejections),
        (TLS_SESSIONS, batch.sessions),
    )
    return [(staged, copy_text(staged.columns, list(found.values()))) for staged, found in rows if found]


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
        self._lifetime = f"{settings.stream.queue_lifetime_days} days"
        with self._connection, self._connection.cursor() as cursor:
            cursor.execute("SET work_mem = %s", (_WORK_MEM,))
            for staged in TABLES:
                cursor.execute(staged.create)
            cursor.execute("CREATE TEMPORARY TABLE part_joins (part_arrived_at timestamptz, queue_id text, host text,"
                           " arrived_at timestamptz, origin smallint) ON COMMIT DELETE ROWS")  # fmt: skip
            for name in ("merge_from", "merge_to", "insert_noqueue", "insert_tls_sessions"):
                cursor.execute(f"PREPARE {name} AS {query(name)}")
            cursor.execute("CREATE TEMPORARY TABLE part_candidates (arrived_at timestamptz, queue_id text, host text,"
                           " origin smallint) ON COMMIT DELETE ROWS")  # fmt: skip
        self._merge_readings = query("merge_readings")
        self._find_parts = query("find_parts")
        self._find_joins = query("find_joins")
        self._move_from = query("move_from")
        self._move_to = query("move_to")
        self._withdraw_from = query("withdraw_from")
        self._withdraw_to = query("withdraw_to")
        self._keep_parts = query("keep_parts")

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
                    _stage(cursor, copies_of(batch) if copies is None else copies)
                    _advance(cursor, positions)
                    self._merge(cursor, batch, withheld)
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
            self._join_parts(cursor, first, last, withholding.read(cursor))

    def refusal(self, batch: Batch) -> str | None:
        """Return why PostgreSQL refuses something in *batch*, or None; nothing is stored.

        Raises what psycopg2 raises where the fault does not lie in the batch.
        """
        try:
            self._days.ensure(batch.days())
            with self._connection.cursor() as cursor:
                _stage(cursor, copies_of(batch))
                self._merge(cursor, batch, None)
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

    def _merge(self, cursor: Cursor, batch: Batch, withheld: Withheld | None) -> None:
        kept = self._withdraw(cursor, batch)
        if batch.messages:
            self._merge_from(cursor, len(batch.messages))
        if batch.deliveries:
            cursor.execute("EXECUTE merge_to")
        if batch.rejections:
            cursor.execute("EXECUTE insert_noqueue")
        if batch.sessions:
            cursor.execute("EXECUTE insert_tls_sessions")
        if kept or batch.may_hold_parts():
            self._join_parts(cursor, *batch.span(), withheld, kept)

    def _withdraw(self, cursor: Cursor, batch: Batch) -> int:
        """Delete the rows that the tombstones name; return how many messages stay as parts of what comes instead.

        Those have what the stage did not know when it withdrew them: recipients, or a parent, that joined them here.
        """
        if batch.withdrawn_deliveries:
            cursor.execute(self._withdraw_to, _columns(batch.withdrawn_deliveries))
        if not batch.withdrawn:
            return 0
        keys = _columns(batch.withdrawn)
        cursor.execute(self._withdraw_from, keys)
        cursor.execute(self._keep_parts, keys)
        return cursor.rowcount

    def _merge_from(self, cursor: Cursor, staged: int) -> None:
        """Merge the messages that are *staged*, so many."""
        cursor.execute("EXECUTE merge_from")
        if cursor.rowcount == staged:  # nearly always: each was new, or changed
            return
        cursor.execute("SELECT min(arrived_at), max(arrived_at) FROM staged_from")
        [(first, last)] = cursor.fetchall()
        cursor.execute(self._merge_readings, {"first": first, "last": last})

    def _join_parts(
        self, cursor: Cursor, first: str | datetime, last: str | datetime, withheld: Withheld | None, kept: int = 0
    ) -> None:
        """Move part rows into the messages that they turn out to belong to; one a message at a time.

        What is staged arrived between *first* and *last*; *kept* are noted as candidates already.
        """
        cursor.execute(self._find_parts, {"first": first, "last": last, "lifetime": self._lifetime})
        if cursor.rowcount + kept == 0:
            return
        cursor.execute("SELECT min(arrived_at), max(arrived_at) FROM part_candidates")
        [(first, last)] = cursor.fetchall()
        given = {"first": first, "last": last, "lifetime": self._lifetime}
        cursor.execute(self._find_joins, given)
        while cursor.rowcount > 0:
            cursor.execute("DELETE FROM staged_from; DELETE FROM staged_to")
            cursor.execute(self._move_from)
            moved = cursor.rowcount
            cursor.execute(self._move_to)
            if withheld is not None and withheld.until:
                _withhold_staged(cursor, withheld)
            self._merge_from(cursor, moved)
            cursor.execute("EXECUTE merge_to")
            cursor.execute("DELETE FROM part_joins")
            cursor.execute(self._find_joins, given)


def _withhold_staged(cursor: Cursor, withheld: Withheld) -> None:
    """Change what may not be stored of rows that are staged under the key of an older message than they came with."""
    old, given = SQL("WHERE arrived_at <= %s"), (withheld.until,)
    batch = Batch()
    for message in read_rows(cursor, FROM, FROM.table, old, given):
        batch.messages[message.host, message.queue_id, message.arrived_at] = message
    for row in read_rows(cursor, TO, TO.table, old, given):
        batch.deliveries[row.host, row.queue_id, row.arrived_at, row.recipient, row.orig_recipient] = row
    if withheld.apply(batch, batch.days()):
        for staged in (FROM, TO):
            cursor.execute(f"DELETE FROM {staged.table} WHERE arrived_at <= %s", given)  # noqa: S608 - a name of ours
        _stage(cursor, copies_of(batch))


def _columns(rows: Iterable[tuple[Any, ...]]) -> list[list[Any]]:
    """Return the columns of *rows*, of which there is one at least, as ``unnest`` takes them."""
    return [list(column) for column in zip(*rows, strict=True)]


def _stage(cursor: Cursor, copies: Copies) -> None:
    for staged, text in copies:
        # In large pieces: for each one it waits until the thread that prepares the next batch lets go of the GIL.
        cursor.copy_expert(staged.copy, io.BytesIO(text), _COPIED_AT_ONCE)


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
        cursor.execute(statement, _columns(rows))
        done = set(cursor.fetchall())
        for topic, partition, expected, *_ in rows:
            if (topic, partition) not in done:
                raise PositionMovedError(f"{topic}[{partition}] is not at {expected} any more")
