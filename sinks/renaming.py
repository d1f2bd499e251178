"""The rows of a day, rewritten with pseudonyms, some at a time, while sinks write the day's late ones."""

import io
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from functools import partial
from typing import Any, Final

import msgspec
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class
from psycopg2.extensions import cursor as Cursor  # noqa: N812
from psycopg2.sql import SQL, Composed, Identifier, Literal

from schemas.deliveries import DeliveryFrom, DeliveryTo, Rejection
from schemas.merging import merge_deliveries
from schemas.tls_sessions import TlsSession
from sinks import withholding
from sinks.batches import Batch
from sinks.erasures import LOCK
from sinks.known_names import names_of, store
from sinks.merging import MERGE_TO
from sinks.owning import insist
from sinks.pseudonyms import MADE, Pseudonyms
from sinks.staging import FROM, NOQUEUE, TLS_SESSIONS, TO, Staged, copy_text, read_rows

_ROWS_AT_ONCE: Final = 2_000
"""Of a transaction: a sink that brings one of these rows waits that long."""
_LOCK_MS: Final = 2_000

_BEGIN: Final = (
    "INSERT INTO pseudonymised (before) VALUES (%s) "
    "ON CONFLICT (one) DO UPDATE SET before = greatest(pseudonymised.before, excluded.before)"
)
_END: Final = "UPDATE pseudonymised SET done = greatest(done, %s)"

_HELD: Final = "a sink holds what has to be rewritten, and does not go on: look after it, then run this again"


class Table(msgspec.Struct, frozen=True):
    """A table, and what of it changes."""

    staged: Staged
    changed: tuple[str, ...]
    """Columns that are set; none where they belong to the key: those rows are stored anew."""
    clear: Composed | SQL = SQL("true")
    """The condition of rows to look at."""

    def key_of(self, row: Any) -> tuple[Any, ...]:
        """Return the key of a record."""
        return tuple(getattr(row, column) for column in self.staged.key)

    def within(self, first: date | None, after: date, prefix: str = "") -> tuple[Composed, tuple[date, ...]]:
        """Return the condition that a row's time lies between two days, the end excluded, and what goes into it."""
        time = SQL(prefix) + Identifier(self.staged.time)
        if first is None:
            return SQL("{} < %s::timestamptz").format(time), (after,)
        return SQL("{0} >= %s::timestamptz AND {0} < %s::timestamptz").format(time), (first, after)


TABLES: Final = (
    Table(
        FROM,
        (
            "sender", "client_name", "client_address", "client_port", "sasl_username", "sasl_sender", "helo",
            "orig_client", "discard_reply", "reject_reply", "subject", "verp_id",
        ),
    ),
    Table(
        TO,
        (),
        # What sinks write now is not locked before they do: what is stored anew takes its place among their rows in
        # the order of keys, and nobody waits for somebody who waits for him.
        SQL("recipient !~ {}").format(Literal(MADE)),
    ),
    Table(
        NOQUEUE,
        ("client_name", "client_address", "client_port", "reply", "sender", "recipient", "helo", "sasl_username"),
    ),
    Table(TLS_SESSIONS, ("peer_name", "peer_address", "peer_port")),
)  # fmt: skip


class Day:
    """The rows from one day's beginning to its end."""

    def __init__(self, connection: Connection, first: date | None, after: date) -> None:
        """Take its bounds; without *first* it is all that came before. *connection* has what `prepare` makes."""
        self._connection = connection
        self._first = first
        self._after = after

    def rewrite(self) -> tuple[list[int], Pseudonyms]:
        """Rewrite the rows of all tables; return how many of each changed, and with what."""
        pseudonyms = insist(self._begin, _HELD)
        rows = [sum(self._rewrite(table, pseudonyms)) for table in TABLES]
        insist(self._end, _HELD)
        return rows, pseudonyms

    def _begin(self) -> Pseudonyms:
        """Have sinks write pseudonyms from now on: none is amid a transaction that does not know."""
        with self._connection, self._connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = %s", (_LOCK_MS,))
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
            cursor.execute(_BEGIN, (self._after,))
            pseudonyms = withholding.read(cursor).pseudonyms
            assert pseudonyms is not None
            return pseudonyms

    def _end(self) -> None:
        with self._connection, self._connection.cursor() as cursor:
            cursor.execute(_END, (self._after,))

    def _rewrite(self, table: Table, pseudonyms: Pseudonyms) -> Iterator[int]:
        last: tuple[Any, ...] | None = ()
        while last is not None:
            last, changed = insist(partial(self._some, table, pseudonyms, last), _HELD)
            yield changed

    def _some(self, table: Table, pseudonyms: Pseudonyms, last: tuple[Any, ...]) -> tuple[tuple[Any, ...] | None, int]:
        """Rewrite the next rows behind the key *last*; return the key of the last one (None: no more), and how many."""
        where, given = table.within(self._first, self._after)
        key = SQL(", ").join(map(Identifier, table.staged.key))
        where += SQL(" AND ") + table.clear
        if last:
            where += SQL(" AND ({}) > ({})").format(key, SQL(", ").join(SQL("%s") for _ in last))
        rest = SQL("WHERE {} ORDER BY {} LIMIT {} FOR UPDATE").format(where, key, SQL(str(_ROWS_AT_ONCE)))
        with self._connection, self._connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = %s", (_LOCK_MS,))
            rows = read_rows(cursor, table.staged, table.staged.target, rest, (*given, *last))
            if not rows:
                return None, 0
            named = [(row, new) for row in rows if (new := renamed(pseudonyms, row)) != row]
            if named:
                # By the key, always: the planner knows nothing of what is staged.
                cursor.execute("SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off")
                if table.changed:
                    self._update(cursor, table, [new for _, new in named])
                else:
                    self._replace(cursor, table, [old for old, _ in named], [new for _, new in named])
            return table.key_of(rows[-1]), len(named)

    def _update(self, cursor: Cursor, table: Table, rows: Sequence[Any]) -> None:
        cursor.copy_expert(table.staged.copy, io.BytesIO(copy_text(table.staged.columns, rows)))
        where, given = table.within(self._first, self._after, "row.")
        cursor.execute(
            SQL("UPDATE {} AS row SET {} FROM {} AS new WHERE {} AND {}").format(
                Identifier(table.staged.target),
                SQL(", ").join(SQL("{0} = new.{0}").format(Identifier(column)) for column in table.changed),
                Identifier(table.staged.table),
                SQL(" AND ").join(SQL("row.{0} = new.{0}").format(Identifier(column)) for column in table.staged.key),
                where,
            ),
            given,
        )
        if table.staged is FROM:
            _store_names(cursor, Batch(messages={table.key_of(row): row for row in rows}))

    def _replace(self, cursor: Cursor, table: Table, old: Sequence[DeliveryTo], new: Sequence[DeliveryTo]) -> None:
        """Store deliveries under their new keys, merged with what is there, and with each other."""
        where, given = table.within(self._first, self._after, "row.")
        keys = list(zip(*map(table.key_of, old), strict=True))
        cursor.execute(
            SQL("DELETE FROM {} AS row USING unnest({}) AS old ({}) WHERE {} AND {}").format(
                Identifier(table.staged.target),
                SQL("%s::timestamptz[], %s::text[], %s::text[], %s::text[], %s::text[]"),
                SQL(", ").join(map(Identifier, table.staged.key)),
                SQL(" AND ").join(SQL("row.{0} = old.{0}").format(Identifier(column)) for column in table.staged.key),
                where,
            ),
            (*map(list, keys), *given),
        )
        batch = Batch()
        for row in new:
            known = batch.deliveries.setdefault(table.key_of(row), row)
            if known is not row:  # two spellings of one address
                merge_deliveries(known, row)
        text = copy_text(table.staged.columns, list(batch.deliveries.values()))
        cursor.copy_expert(table.staged.copy, io.BytesIO(text))
        cursor.execute(MERGE_TO)
        _store_names(cursor, batch)


def renamed(pseudonyms: Pseudonyms, row: Any) -> Any:
    """Return *row* with pseudonyms."""
    if isinstance(row, Rejection):
        return pseudonyms.rejection(row)
    if isinstance(row, TlsSession):
        return pseudonyms.session(row)
    new = msgspec.structs.replace(row)
    if isinstance(new, DeliveryFrom):
        pseudonyms.message(new)
    else:
        pseudonyms.delivery(new)
    return new


def _store_names(cursor: Cursor, batch: Batch) -> None:
    if names := names_of(batch):
        store(cursor, names, datetime.now(UTC).date())


def prepare(cursor: Cursor) -> None:
    """Make the temporary tables that a connection needs."""
    for table in TABLES:
        cursor.execute(table.staged.create)
