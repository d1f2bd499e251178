"""Swaps whole days of a second set of tables for those of the live one, while sinks write.

Days (partitions) change places; the tables, the view and the functions stay who they are, so nothing that sinks or
searches hold becomes invalid. docs/decisions/0007-replay.md has the reasons.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Final

import msgspec
import psycopg2
import psycopg2.errors
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class
from psycopg2.extensions import cursor as Cursor  # noqa: N812
from psycopg2.sql import SQL, Composable, Identifier

from schemas.errors import ConfigurationError, TryAgainLaterError
from schemas.settings import Settings
from sinks import erasures
from sinks.counts import COUNTS
from sinks.day_partitions import PARTITIONED
from sinks.second_sets import connected, replayed
from sinks.writing import Writer

_LOCK_MS: Final = 2000
"""How long to wait for a table that somebody reads: sinks wait meanwhile, and go on before the next try."""
_TRIES: Final = 30
_PAUSE_SECONDS: Final = 2.0
_LONGEST: Final = "5min"
"""For how long the sinks may be kept waiting."""


class Swapped(msgspec.Struct, frozen=True):
    """What was swapped."""

    first: str
    """The first day, such as ``2026-11-20``."""
    days: int
    seconds: float
    """For how long the sinks waited."""


def first_whole_day(since: datetime) -> date:
    """Return the first UTC day of which everything arrived *since* then."""
    moment = since.astimezone(UTC)
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    return (midnight if midnight == moment else midnight + timedelta(days=1)).date()


def swap(settings: Settings, schema: str, catch_up: Callable[[], None]) -> Swapped:
    """Swap the days that the second set in *schema* holds whole into the live tables; the old ones go there.

    *catch_up* brings the second set up to all that sinks have stored; it is called while they wait. Raises
    ConfigurationError (no second set, swapped already, somebody was erased or pseudonymised since), TryAgainLaterError
    (a table in use).
    """
    there = replayed(settings, schema)
    if there is None:
        raise ConfigurationError(
            f"schema {schema} holds no rows yet: run `journal-postfix replay --into {schema}` first"
        )
    if there.swapped_at is not None:
        raise ConfigurationError(
            f"schema {schema} was swapped at {there.swapped_at:%Y-%m-%d %H:%M} (UTC): it holds the old days now. "
            "Drop it when you don't need them any more"
        )
    first = first_whole_day(there.since)
    if first > datetime.now(UTC).date():
        raise ConfigurationError(f"schema {schema} holds no whole day (UTC) yet: the first would be {first}")
    live = settings.database.schema_name
    with connected(settings, "swap tables in") as connection, connection, connection.cursor() as cursor:
        _check_withheld(cursor, live, schema)
        _take_names(cursor, live, schema)  # most of them before sinks wait
    for left in reversed(range(_TRIES)):
        try:
            swapped = _swap(settings, schema, first, catch_up)
        except (psycopg2.errors.LockNotAvailable, psycopg2.errors.DeadlockDetected) as error:
            if not left:
                raise TryAgainLaterError(
                    "the tables are in use, and were for a minute (a long query, a dump?): swap again when that has "
                    "ended; nothing was changed"
                ) from error
            time.sleep(_PAUSE_SECONDS)
        else:
            break
    _join_parts(settings, first)
    return swapped


def _swap(settings: Settings, schema: str, first: date, catch_up: Callable[[], None]) -> Swapped:
    live = settings.database.schema_name
    with _locking(settings) as (connection, cursor):
        # Sinks wait here, before they lock a row: what they have stored is committed, and no more comes. The second set
        # may then be brought up to it, over other connections.
        cursor.execute("LOCK TABLE sink_positions IN EXCLUSIVE MODE")
        began = time.monotonic()
        catch_up()
        _check_withheld(cursor, live, schema)
        _take_names(cursor, live, schema)  # those of the last lines
        # From here on searches wait too, and whoever searches already is waited for.
        cursor.execute(SQL("LOCK TABLE ONLY {} IN ACCESS EXCLUSIVE MODE").format(_names(PARTITIONED)))
        aside = f"{schema[:50]}_aside"
        cursor.execute(SQL("CREATE SCHEMA {}").format(Identifier(aside)))
        days = _days(cursor, live, schema, first)
        for table in PARTITIONED:
            for day in days:
                _exchange(cursor, table, day, (live, schema, aside))
        _exchange_counts(cursor, days, live, schema)
        cursor.execute(SQL("DROP SCHEMA {}").format(Identifier(aside)))
        cursor.execute(SQL("UPDATE {} SET swapped_at = now()").format(Identifier(schema, "replayed")))
        connection.commit()
        return Swapped(f"{first}", len(days), time.monotonic() - began)


@contextmanager
def _locking(settings: Settings) -> Iterator[tuple[Connection, Cursor]]:
    with connected(settings, "swap tables in") as connection:
        try:
            with connection.cursor() as cursor:
                cursor.execute("SET LOCAL lock_timeout = %s", (_LOCK_MS,))
                cursor.execute("SET LOCAL idle_in_transaction_session_timeout = %s", (_LONGEST,))
                yield connection, cursor
        finally:
            if not connection.closed:
                connection.rollback()


def _check_withheld(cursor: Cursor, live: str, schema: str) -> None:
    """See to it that the second set names nobody whom the live one does not, and that it stays so."""
    cursor.execute("SELECT pg_advisory_xact_lock_shared(%s)", (erasures.LOCK,))
    _check_erased(cursor, live, schema)
    _check_pseudonymised(cursor, live, schema)


def _check_erased(cursor: Cursor, live: str, schema: str) -> None:
    cursor.execute(
        SQL(
            "SELECT count(*) FROM {} AS here LEFT JOIN {} AS there USING (digest) "
            "WHERE there.erased_at IS NULL OR there.erased_at < here.erased_at"
        ).format(Identifier(live, "erasures"), Identifier(schema, "erasures"))
    )
    [(count,)] = cursor.fetchall()
    if count:
        raise ConfigurationError(
            f"{count} of the people whose addresses were erased are in schema {schema} still: erase them there too "
            f"(JOURNAL_POSTFIX_DATABASE__SCHEMA_NAME={schema} journal-postfix erase --address ADDRESS), or drop the "
            "schema and replay once more; nothing was changed"
        )


def _check_pseudonymised(cursor: Cursor, live: str, schema: str) -> None:
    cursor.execute(
        SQL(
            "SELECT here.before FROM {} AS here LEFT JOIN {} AS there USING (one) "
            "WHERE there.done IS NULL OR there.done < here.before"  # a purge there may have been broken off
        ).format(Identifier(live, "pseudonymised"), Identifier(schema, "pseudonymised"))
    )
    for (before,) in cursor.fetchall():
        raise ConfigurationError(
            f"what arrived before {before} was pseudonymised since, but in schema {schema} it names people: purge "
            f"there too (JOURNAL_POSTFIX_DATABASE__SCHEMA_NAME={schema} journal-postfix purge), or drop the schema and "
            "replay once more; nothing was changed"
        )


def _days(cursor: Cursor, live: str, schema: str, first: date) -> list[date]:
    """Return the days from *first* that one of the sets has, and see to it that all tables of both have each."""
    cursor.execute(
        "SELECT DISTINCT right(child.relname, 8) FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid "
        "JOIN pg_class AS parent ON parent.oid = inhparent JOIN pg_namespace AS n ON n.oid = parent.relnamespace "
        "WHERE n.nspname = ANY(%s) AND parent.relname = ANY(%s) "
        "AND child.relname ~ '_[0-9]{8}$'",
        ([live, schema], list(PARTITIONED)),
    )
    named = (datetime.strptime(name, "%Y%m%d").replace(tzinfo=UTC).date() for (name,) in cursor.fetchall())
    days = []
    for day in sorted(day for day in named if day >= first):
        made = []
        for place in (live, schema):
            for table in PARTITIONED:
                cursor.execute(SQL("SELECT {}(%s, %s)").format(Identifier(place, "make_day_partition")), (table, day))
                made.append(cursor.fetchone() not in {None, (None,)})
        if all(made):  # a set that was made much later has no days so long ago
            days.append(day)
    return days


def _names(tables: Iterable[str]) -> Composable:
    return SQL(", ONLY ").join(map(Identifier, tables))


def _exchange(cursor: Cursor, table: str, day: date, places: tuple[str, str, str]) -> None:
    """Let the partitions of a day change places: two schemas, and one to pass through."""
    live, schema, aside = places
    name = f"{table}_{day:%Y%m%d}"
    bounds = (f"{day} 00:00:00+00", f"{day + timedelta(days=1)} 00:00:00+00")
    for place in (live, schema):
        cursor.execute(
            SQL("ALTER TABLE {} DETACH PARTITION {}").format(Identifier(place, table), Identifier(place, name))
        )
    for old, new in ((live, aside), (schema, live), (aside, schema)):
        cursor.execute(SQL("ALTER TABLE {} SET SCHEMA {}").format(Identifier(old, name), Identifier(new)))
    for place in (live, schema):
        cursor.execute(
            SQL("ALTER TABLE {} ATTACH PARTITION {} FOR VALUES FROM (%s) TO (%s)").format(
                Identifier(place, table), Identifier(place, name)
            ),
            bounds,
        )


def _exchange_counts(cursor: Cursor, days: list[date], live: str, schema: str) -> None:
    """Let what is counted of the days change places with them: no trigger sees a partition come or go."""
    for counts in (counts for of_one in COUNTS.values() for counts in of_one):
        names = {
            "live": Identifier(live, counts.table),
            "replayed": Identifier(schema, counts.table),
            "of_days": SQL("WHERE ({} AT TIME ZONE 'UTC')::date = ANY(%(days)s)").format(Identifier(counts.time)),
        }
        for statement in (
            "CREATE TEMPORARY TABLE counts_aside ON COMMIT DROP AS SELECT * FROM {live} {of_days}",
            "DELETE FROM {live} {of_days}",
            "INSERT INTO {live} SELECT * FROM {replayed} {of_days}",
            "DELETE FROM {replayed} {of_days}",
            "INSERT INTO {replayed} SELECT * FROM counts_aside",
            "DROP TABLE counts_aside",
        ):
            cursor.execute(SQL(statement).format(**names), {"days": days})


def _take_names(cursor: Cursor, live: str, schema: str) -> None:
    """Let searches know the names of the second set that they don't, or not as of so late a day."""
    cursor.execute(
        SQL(
            "INSERT INTO {live} AS known SELECT there.* FROM {there} AS there "
            "LEFT JOIN {live} AS here USING (kind, name) "
            "WHERE here.seen IS NULL OR here.seen < there.seen ORDER BY kind, name "
            "ON CONFLICT (kind, name) DO UPDATE SET seen = excluded.seen WHERE known.seen < excluded.seen"
        ).format(live=Identifier(live, "known_names"), there=Identifier(schema, "known_names"))
    )


def _join_parts(settings: Settings, first: date) -> None:
    """Let the parts of messages whose arrival the replay did not see join them, in the days before."""
    begin = datetime(first.year, first.month, first.day, tzinfo=UTC)
    days = math.ceil(settings.stream.queue_lifetime_days) + 1
    writer = Writer(settings)
    try:
        for day in range(days):
            writer.join_parts(begin + timedelta(days=day), begin + timedelta(days=day + 1))
    finally:
        writer.close()
