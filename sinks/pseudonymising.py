"""Pseudonymising: rows of days that are old enough name nobody any more, a day after the other, while sinks write.

First sinks are told to write the day's rows with pseudonyms, then those that are there are rewritten, some at a time.
What a sink adds meanwhile stands beside a row under the clear name until that is rewritten, and is merged with it then.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Final

import msgspec
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class
from psycopg2.sql import SQL, Identifier

from schemas.settings import RetentionSettings, Settings
from sinks import withholding
from sinks.counts import forget_nothing
from sinks.day_partitions import PARTITIONED
from sinks.owning import owning
from sinks.pseudonyms import MADE, Pseudonyms
from sinks.renaming import TABLES, Day, Table, prepare

_FIRST_DAY: Final = """
SELECT min(to_date(right(relname, 8), 'YYYYMMDD'))
FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
WHERE inhparent = ANY(%s::regclass[]) AND relname ~ '_[0-9]{8}$'
"""
_STATE: Final = "SELECT before, done FROM pseudonymised"

_NAMES_AT_ONCE: Final = 10_000
_OLD_NAMES: Final = """
SELECT kind, name FROM known_names
WHERE seen < %s AND name !~ %s AND (kind, name) > (%s, %s)
ORDER BY kind, name
LIMIT %s
"""
_FORGET: Final = """
DELETE FROM known_names USING unnest(%s::text[], %s::text[]) AS gone (kind, name)
WHERE known_names.kind = gone.kind AND known_names.name = gone.name AND seen < %s
"""

Tell = Callable[[str], None]


class Renamed(msgspec.Struct, frozen=True):
    """What was rewritten, or would be, of one table."""

    table: str
    before: str
    """The first day that is as it was, such as ``2026-10-26``."""
    rows: int


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
            return [Renamed(t.staged.target, f"{end}", _count(connection, t, days)) for t in TABLES]
        rows = [0] * len(TABLES)
        with connection, connection.cursor() as cursor:
            prepare(cursor)
            pseudonyms = withholding.read(cursor).pseudonyms
        for number, (first, after) in enumerate(days, 1):
            changed, pseudonyms = Day(connection, first, after).rewrite()
            rows = [so_far + count for so_far, count in zip(rows, changed, strict=True)]
            what = f"{after - timedelta(days=1)}" + ("" if first else " and before")
            tell(f"{what}: {sum(changed):,} rows pseudonymised ({number} of {len(days)} days)")
        with connection, connection.cursor() as cursor:  # clients were counted by their whole addresses
            forget_nothing(cursor, "noqueue", datetime(end.year, end.month, end.day, tzinfo=UTC))
        names = _forget_names(connection, end, pseudonyms) if pseudonyms is not None else 0
        found = [Renamed(t.staged.target, f"{end}", count) for t, count in zip(TABLES, rows, strict=True)]
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


def _count(connection: Connection, table: Table, days: Sequence[tuple[date | None, date]]) -> int:
    if not days:
        return 0
    where, given = table.within(days[0][0], days[-1][1])
    with connection, connection.cursor() as cursor:
        cursor.execute(SQL("SELECT count(*) FROM {} WHERE {}").format(Identifier(table.staged.target), where), given)
        [(count,)] = cursor.fetchall()
        return int(count)


def _forget_names(connection: Connection, before: date, pseudonyms: Pseudonyms) -> int:
    """Forget the names that no sink has written since *before*, but for those that are pseudonyms; return how many."""
    forgotten, last = 0, ("", "")
    while True:
        with connection, connection.cursor() as cursor:
            cursor.execute(_OLD_NAMES, (before, MADE, *last, _NAMES_AT_ONCE))
            found = cursor.fetchall()
            gone = [name for name in found if pseudonyms.name(*name) != name[1]]
            cursor.execute(_FORGET, (*map(list, zip(*gone, strict=True)), before) if gone else ([], [], before))
            forgotten += cursor.rowcount
        if len(found) < _NAMES_AT_ONCE:
            return forgotten
        last = found[-1]
