"""Pseudonymising: rows of days that are old enough name nobody any more, a day after the other, while sinks write.

First sinks are told to write the day's rows with pseudonyms, then those that are there are rewritten, some at a time.
What a sink adds meanwhile stands beside a row under the clear name until that is rewritten, and is merged with it then.
"""

import io
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any, Final

import msgspec
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class
from psycopg2.extensions import cursor as Cursor  # noqa: N812
from psycopg2.sql import SQL, Composed, Identifier, Literal

from schemas.deliveries import DeliveryFrom, DeliveryTo, Rejection
from schemas.merging import merge_deliveries
from schemas.settings import RetentionSettings, Settings
from schemas.tls_sessions import TlsSession
from sinks import withholding
from sinks.batches import Batch
from sinks.day_partitions import PARTITIONED
from sinks.erasures import LOCK
from sinks.known_names import names_of, store
from sinks.owning import insist, owning
from sinks.pseudonyms import DIGITS, Pseudonyms
from sinks.staging import FROM, NOQUEUE, TLS_SESSIONS, TO, Staged, copy_text, read_rows
from sinks.writing import query

_ROWS_AT_ONCE: Final = 2_000
"""Of a transaction: a sink that brings one of these rows waits that long."""
_LOCK_MS: Final = 2_000

_FIRST_DAY: Final = """
SELECT min(to_date(right(relname, 8), 'YYYYMMDD'))
FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
WHERE inhparent = ANY(%s::regclass[]) AND relname ~ '_[0-9]{8}$'
"""
_STATE: Final = "SELECT before, done FROM pseudonymised"
_BEGIN: Final = (
    "INSERT INTO pseudonymised (before) VALUES (%s) "
    "ON CONFLICT (one) DO UPDATE SET before = greatest(pseudonymised.before, excluded.before)"
)
_END: Final = "UPDATE pseudonymised SET done = greatest(done, %s)"

_HELD: Final = "a sink holds what has to be rewritten, and does not go on: look after it, then run this again"
_MERGE_TO: Final = query("merge_to")

Tell = Callable[[str], None]


class Renamed(msgspec.Struct, frozen=True):
    """What was rewritten, or would be, of one table."""

    table: str
    before: str
    """The first day that is as it was, such as ``2026-10-26``."""
    rows: int


class _Table(msgspec.Struct, frozen=True):
    """A table, its key, and what of it changes."""

    staged: Staged
    key: tuple[str, ...]
    time: str
    changed: tuple[str, ...]
    """Columns that are set; none where they belong to the key: those rows are stored anew."""
    clear: Composed | SQL = SQL("true")
    """The condition of rows to look at."""

    def key_of(self, row: Any) -> tuple[Any, ...]:
        """Return the key of a record."""
        return tuple(getattr(row, column) for column in self.key)

    def within(self, first: date | None, after: date, prefix: str = "") -> tuple[Composed, tuple[date, ...]]:
        """Return the condition that a row's time lies between two days, the end excluded, and what goes into it."""
        time = SQL(prefix) + Identifier(self.time)
        if first is None:
            return SQL("{} < %s::timestamptz").format(time), (after,)
        return SQL("{0} >= %s::timestamptz AND {0} < %s::timestamptz").format(time), (first, after)


_TABLES: Final = (
    _Table(
        FROM,
        ("arrived_at", "queue_id", "host"),
        "arrived_at",
        (
            "sender", "client_name", "client_address", "client_port", "sasl_username", "sasl_sender", "helo",
            "orig_client", "discard_reply", "reject_reply", "subject", "verp_id",
        ),
    ),
    _Table(
        TO,
        ("arrived_at", "queue_id", "host", "recipient", "orig_recipient"),
        "arrived_at",
        (),
        # What sinks write now is not locked before they do: what is stored anew takes its place among their rows in
        # the order of keys, and nobody waits for somebody who waits for him.
        SQL("recipient !~ {}").format(Literal(f"^~[0-9a-f]{{{DIGITS}}}(@|$)")),
    ),
    _Table(
        NOQUEUE,
        ("at", "host", "digest"),
        "at",
        ("client_name", "client_address", "client_port", "reply", "sender", "recipient", "helo", "sasl_username"),
    ),
    _Table(TLS_SESSIONS, ("host", "pid", "at", "digest"), "at", ("peer_name", "peer_address", "peer_port")),
)  # fmt: skip


def border(retention: RetentionSettings, now: datetime) -> date | None:
    """Return the first day whose rows name people; None where all do."""
    days = retention.pseudonymise_days
    return now.astimezone(UTC).date() - timedelta(days=days) if days else None


def pseudonymise(settings: Settings, before: date | None, tell: Tell, *, dry_run: bool = False) -> list[Renamed]:
    """Rewrite the rows that arrived earlier than the day *before*; return how many. For the owner of the tables.

    A day that was begun is ended whatever *before* says; None does nothing else. Raises ConfigurationError (not the
    owner, no tables) and TryAgainLaterError (the server went away, a sink stands still); the next time goes on there.
    """
    with owning(settings, "pseudonymise") as connection:
        days, end = _days(connection, before)
        if end is None:
            return []
        if dry_run:
            return [Renamed(t.staged.target, f"{end}", _count(connection, t, days)) for t in _TABLES]
        rows = [0] * len(_TABLES)
        with connection, connection.cursor() as cursor:
            for table in _TABLES:
                cursor.execute(table.staged.create)
            pseudonyms = withholding.read(cursor).pseudonyms
        for number, (first, after) in enumerate(days, 1):
            changed, pseudonyms = _Day(connection, first, after).rewrite()
            rows = [so_far + count for so_far, count in zip(rows, changed, strict=True)]
            what = f"{after - timedelta(days=1)}" + ("" if first else " and before")
            tell(f"{what}: {sum(changed):,} rows pseudonymised ({number} of {len(days)} days)")
        names = _forget_names(connection, end, pseudonyms) if pseudonyms is not None else 0
        found = [Renamed(t.staged.target, f"{end}", count) for t, count in zip(_TABLES, rows, strict=True)]
        return [*found, Renamed("known_names", f"{end}", names)]


def _days(connection: Connection, before: date | None) -> tuple[list[tuple[date | None, date]], date | None]:
    """Return the days to do, each as its beginning and its end, the first without beginning; and the last's end."""
    with connection, connection.cursor() as cursor:
        cursor.execute(_STATE)
        begun, done = cursor.fetchone() or (None, None)
        end = max((day for day in (before, begun) if day is not None), default=None)
        if end is None or (done is not None and done >= end):
            return [], end
        cursor.execute(_FIRST_DAY, (list(PARTITIONED),))
        [(oldest,)] = cursor.fetchall()
    first: date = done or min(end, (oldest or end) + timedelta(days=1))
    each = [(first + timedelta(days=n), first + timedelta(days=n + 1)) for n in range((end - first).days)]
    return [*([] if done else [(None, first)]), *each], end


def _count(connection: Connection, table: _Table, days: Sequence[tuple[date | None, date]]) -> int:
    if not days:
        return 0
    where, given = table.within(days[0][0], days[-1][1])
    with connection, connection.cursor() as cursor:
        cursor.execute(SQL("SELECT count(*) FROM {} WHERE {}").format(Identifier(table.staged.target), where), given)
        [(count,)] = cursor.fetchall()
        return int(count)


class _Day:
    """The rows from one day's beginning to its end."""

    def __init__(self, connection: Connection, first: date | None, after: date) -> None:
        self._connection = connection
        self._first = first
        self._after = after

    def rewrite(self) -> tuple[list[int], Pseudonyms]:
        """Rewrite the rows of all tables; return how many of each changed, and with what."""
        pseudonyms = insist(self._begin, _HELD)
        rows = [sum(self._rewrite(table, pseudonyms)) for table in _TABLES]
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

    def _rewrite(self, table: _Table, pseudonyms: Pseudonyms) -> Iterator[int]:
        last: tuple[Any, ...] | None = ()
        while last is not None:
            last, changed = insist(partial(self._some, table, pseudonyms, last), _HELD)
            yield changed

    def _some(self, table: _Table, pseudonyms: Pseudonyms, last: tuple[Any, ...]) -> tuple[tuple[Any, ...] | None, int]:
        """Rewrite the next rows behind the key *last*; return the key of the last one (None: no more), and how many."""
        where, given = table.within(self._first, self._after)
        key = SQL(", ").join(map(Identifier, table.key))
        where += SQL(" AND ") + table.clear
        if last:
            where += SQL(" AND ({}) > ({})").format(key, SQL(", ").join(SQL("%s") for _ in last))
        rest = SQL("WHERE {} ORDER BY {} LIMIT {} FOR UPDATE").format(where, key, SQL(str(_ROWS_AT_ONCE)))
        with self._connection, self._connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = %s", (_LOCK_MS,))
            rows = read_rows(cursor, table.staged, table.staged.target, rest, (*given, *last))
            if not rows:
                return None, 0
            named = [(row, new) for row in rows if (new := _renamed(pseudonyms, row)) != row]
            if named:
                # By the key, always: the planner knows nothing of what is staged.
                cursor.execute("SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off")
                if table.changed:
                    self._update(cursor, table, [new for _, new in named])
                else:
                    self._replace(cursor, table, [old for old, _ in named], [new for _, new in named])
            return table.key_of(rows[-1]), len(named)

    def _update(self, cursor: Cursor, table: _Table, rows: Sequence[Any]) -> None:
        cursor.copy_expert(table.staged.copy, io.BytesIO(copy_text(table.staged.columns, rows)))
        where, given = table.within(self._first, self._after, "row.")
        cursor.execute(
            SQL("UPDATE {} AS row SET {} FROM {} AS new WHERE {} AND {}").format(
                Identifier(table.staged.target),
                SQL(", ").join(SQL("{0} = new.{0}").format(Identifier(column)) for column in table.changed),
                Identifier(table.staged.table),
                SQL(" AND ").join(SQL("row.{0} = new.{0}").format(Identifier(column)) for column in table.key),
                where,
            ),
            given,
        )
        if table.staged is FROM:
            _store_names(cursor, Batch(messages={table.key_of(row): row for row in rows}))

    def _replace(self, cursor: Cursor, table: _Table, old: Sequence[DeliveryTo], new: Sequence[DeliveryTo]) -> None:
        """Store deliveries under their new keys, merged with what is there, and with each other."""
        where, given = table.within(self._first, self._after, "row.")
        keys = list(zip(*map(table.key_of, old), strict=True))
        cursor.execute(
            SQL("DELETE FROM {} AS row USING unnest({}) AS old ({}) WHERE {} AND {}").format(
                Identifier(table.staged.target),
                SQL("%s::timestamptz[], %s::text[], %s::text[], %s::text[], %s::text[]"),
                SQL(", ").join(map(Identifier, table.key)),
                SQL(" AND ").join(SQL("row.{0} = old.{0}").format(Identifier(column)) for column in table.key),
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
        cursor.execute(_MERGE_TO)
        _store_names(cursor, batch)


def _renamed(pseudonyms: Pseudonyms, row: Any) -> Any:
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


def _forget_names(connection: Connection, before: date, pseudonyms: Pseudonyms) -> int:
    """Forget the names that no sink has written since *before*, but for those that are pseudonyms; return how many."""
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT kind, name FROM known_names WHERE seen < %s", (before,))
        gone = [(kind, name) for kind, name in cursor if pseudonyms.name(kind, name) != name]
        kinds, names = [kind for kind, _ in gone], [name for _, name in gone]
        cursor.execute(
            "DELETE FROM known_names USING unnest(%s::text[], %s::text[]) AS gone (kind, name) "
            "WHERE known_names.kind = gone.kind AND known_names.name = gone.name AND seen < %s",
            (kinds, names, before),
        )
        return cursor.rowcount
