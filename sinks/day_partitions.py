"""The partitions of a day: made before rows of that day are written."""

import time
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Final

import psycopg2.errors
import structlog
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from sinks.staging import TABLES

log = structlog.get_logger()

PARTITIONED: Final = tuple(staged.target for staged in TABLES)
"""The tables that have partitions."""

_LOCK_MS: Final = 1000
"""How long to wait for a table: whoever comes after us waits as well."""
_PAUSE_SECONDS: Final = 60.0

LOCK: Final = 7_260_115_372
"""Key of the advisory lock that keeps makers and droppers apart, also in `make_day_partition`: who waits, for long."""


class DayPartitions:
    """Knows which days have partitions, and makes those that are missing.

    None has to be there: rows without a partition of their own go to the default one, from which they move later. So
    a table that someone reads for hours (pg_dump) delays partitions and never rows.
    """

    def __init__(self, connection: Connection, days_ahead: int) -> None:
        """Look at the database; *days_ahead* of today get partitions too."""
        self._connection = connection
        self._ahead = timedelta(days=days_ahead)
        self._not_before = 0.0
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT first_partition_day()")
            row = cursor.fetchone()
            assert row is not None
            self._first: date = row[0]
            cursor.execute(
                "SELECT relname, reltuples > 0 FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid "
                "WHERE inhparent = ANY(%s::regclass[])",
                (list(PARTITIONED),),
            )
            found = cursor.fetchall()
        self._known = {name for name, _ in found}
        self._analyzed = {name for name, analyzed in found if analyzed}

    def ensure(self, days: Iterable[str]) -> None:
        """Make partitions for *days* (``2026-11-23``), and for today and the days ahead.

        Days before the first, or far ahead, have none of their own: their rows go where the first migration says.
        """
        today = datetime.now(UTC).date()
        wanted = {today + timedelta(days=n) for n in range(self._ahead.days + 1)}
        wanted |= {date.fromisoformat(day) for day in days}
        missing = [
            (day, table)
            for day in sorted(wanted)
            if self._first <= day <= today + self._ahead
            for table in PARTITIONED
            if _name(table, day) not in self._known
        ]
        if not missing or time.monotonic() < self._not_before:
            return
        try:
            for day, table in missing:
                self._make(day, table)
        except psycopg2.errors.LockNotAvailable:
            self._not_before = time.monotonic() + _PAUSE_SECONDS
            log.warning("the tables are locked: partitions of new days are made later", days=len(missing))

    def analyze(self, table: str, days: Iterable[str]) -> None:
        """Give the partitions of *days*, which have rows by now, their first statistics."""
        missing = {day: _name(table, date.fromisoformat(day)) for day in days}
        for day, name in missing.items():
            if name in self._known and name not in self._analyzed:
                with self._connection, self._connection.cursor() as cursor:
                    cursor.execute("SELECT analyze_day_partition(%s, %s)", (table, day))
                self._analyzed.add(name)

    def _make(self, day: date, table: str) -> None:
        name = _name(table, day)
        with self._connection, self._connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
            cursor.execute("SET LOCAL lock_timeout = %s", (_LOCK_MS,))
            # With its owner's rights: the tables are not the sink's (sinks/migrations/0007_roles.sql).
            cursor.execute("SELECT make_day_partition(%s, %s)", (table, day))
        self._known.add(name)


def _name(table: str, day: date) -> str:
    return f"{table}_{day:%Y%m%d}"
