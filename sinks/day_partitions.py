"""The partitions of a day: made before rows of that day are written."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Final

from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class
from psycopg2.sql import SQL, Identifier, Literal

PARTITIONED: Final = {"delivery_from": "arrived_at", "delivery_to": "arrived_at", "noqueue": "at"}
"""The tables and the column that their partitions go by."""

_LOCK: Final = 7_260_115_372
"""Key of the advisory lock that keeps two makers apart: PostgreSQL's own IF NOT EXISTS does not."""


class DayPartitions:
    """Knows which days have partitions, and makes those that are missing."""

    def __init__(self, connection: Connection, days_ahead: int) -> None:
        """Look at the database; *days_ahead* of today get partitions too."""
        self._connection = connection
        self._ahead = timedelta(days=days_ahead)
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT first_partition_day()")
            row = cursor.fetchone()
            assert row is not None
            self._first: date = row[0]
            cursor.execute("SELECT relid::regclass::text FROM pg_partition_tree('delivery_from') WHERE isleaf")
            self._known = {name for (name,) in cursor.fetchall()}

    def ensure(self, days: Iterable[str]) -> None:
        """Make partitions for *days* (``2026-11-23``), and for today and the days ahead.

        Days before the first, or far ahead, have none of their own: their rows go where the first migration says.
        """
        today = datetime.now(UTC).date()
        wanted = {today + timedelta(days=n) for n in range(self._ahead.days + 1)}
        wanted |= {date.fromisoformat(day) for day in days}
        for day in sorted(wanted):
            if self._first <= day <= today + self._ahead and _name("delivery_from", day) not in self._known:
                self._make(day)

    def _make(self, day: date) -> None:
        begin, end = f"{day} 00:00:00+00", f"{day + timedelta(days=1)} 00:00:00+00"
        with self._connection, self._connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            for table, column in PARTITIONED.items():
                name = _name(table, day)
                cursor.execute("SELECT to_regclass(%s) IS NOT NULL", (name,))
                row = cursor.fetchone()
                if row is not None and row[0]:
                    continue
                names = {
                    "new": Identifier(name),
                    "table": Identifier(table),
                    "later": Identifier(f"{table}_later"),
                    "column": Identifier(column),
                    "begin": Literal(begin),
                    "end": Literal(end),
                }
                cursor.execute(SQL("CREATE TABLE {new} (LIKE {table} INCLUDING ALL)").format(**names))
                cursor.execute(
                    SQL(
                        "WITH moved AS ("
                        "DELETE FROM {later} WHERE {column} >= {begin} AND {column} < {end} RETURNING *) "
                        "INSERT INTO {new} SELECT * FROM moved"
                    ).format(**names)
                )
                cursor.execute(
                    SQL("ALTER TABLE {table} ATTACH PARTITION {new} FOR VALUES FROM ({begin}) TO ({end})").format(
                        **names
                    )
                )
        self._known.add(_name("delivery_from", day))


def _name(table: str, day: date) -> str:
    return f"{table}_{day:%Y%m%d}"
