"""Retention: what is older than it may be goes, a day's partition at a time, while sinks write.

A row that comes late for a day that is gone is stored all the same, in the partition that takes what has no other, and
goes with the next purge.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

import msgspec
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class
from psycopg2.sql import SQL, Identifier

from schemas.settings import RetentionSettings, Settings
from sinks.counts import forget_day, forget_nothing
from sinks.day_partitions import LOCK
from sinks.owning import insist, owning
from sinks.staging import TABLES, Staged

_LOCK_MS: Final = 500
"""How long to wait for a table's lock: sinks that come after us wait as well."""
_WAIT: Final = "(a long query, a dump?): purge again when that has ended"
_ROWS_AT_ONCE: Final = 10_000
"""Of the partitions that hold many days: no transaction is long."""

_DAYS: Final = """
SELECT child.relname, pg_total_relation_size(child.oid), greatest(child.reltuples, 0)::bigint
FROM pg_inherits
JOIN pg_class AS child ON child.oid = inhrelid
WHERE inhparent = %s::regclass AND child.relname ~ ('^' || %s || '_[0-9]{8}$')
    AND to_date(right(child.relname, 8), 'YYYYMMDD') < %s
ORDER BY child.relname
"""


class Purged(msgspec.Struct, frozen=True):
    """What went, or would go, of one table."""

    table: str
    before: str
    """The first day that stays, such as ``2026-08-26``."""
    days: list[str]
    """The partitions that were dropped."""
    rows: int
    """About: as the server's statistics have it for whole days; exact for rows that went one by one."""
    bytes: int


Tell = Callable[[str], None]


def cutoffs(retention: RetentionSettings, older_than: timedelta | None, now: datetime) -> Mapping[str, datetime]:
    """Return by table the beginning of the first day that stays; tables of which everything stays are left out."""
    days = {
        "delivery_from": retention.deliveries_days,
        "delivery_to": retention.deliveries_days,
        "noqueue": retention.rejects_days,
        "tls_sessions": retention.tls_sessions_days,
    }
    ages = {table: older_than or (timedelta(days=age) if age else None) for table, age in days.items()}
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return {
        table: midnight if age < timedelta(days=1) else midnight - timedelta(days=age.days)
        for table, age in ages.items()
        if age is not None
    }


def purge(settings: Settings, before: Mapping[str, datetime], tell: Tell, *, dry_run: bool = False) -> list[Purged]:
    """Drop what is older than *before*, by table; return what went. For the owner of the tables.

    Raises ConfigurationError (not the owner, no tables) and TryAgainLaterError (the server went away, or somebody
    holds a table for a minute). What went until then is gone; the next purge goes on.
    """
    with owning(settings, "purge") as connection:
        found = [
            _purge_table(connection, staged, before[staged.target], tell, dry_run=dry_run)
            for staged in TABLES
            if staged.target in before
        ]
        if "delivery_from" in before:
            found.append(_purge_names(connection, before["delivery_from"], tell, dry_run=dry_run))
        return found


def _purge_table(connection: Connection, staged: Staged, before: datetime, tell: Tell, *, dry_run: bool) -> Purged:
    table = staged.target
    with connection, connection.cursor() as cursor:
        cursor.execute(_DAYS, (table, table, before.date()))
        partitions = cursor.fetchall()
    for number, (name, size, _) in enumerate(partitions, 1):
        if not dry_run:
            insist(partial(_drop, connection, table, name), f"{name} is in use, and was for a minute {_WAIT}")
        tell(f"{name} {'would go' if dry_run else 'dropped'} ({number} of {len(partitions)}, {size / 1e6:,.1f} MB)")
    rows = sum(rows for _, _, rows in partitions)
    for name in (f"{table}_earlier", f"{table}_later"):
        rows += _purge_rows(connection, table, name, staged.time, before, dry_run=dry_run)
    if not dry_run:
        with connection, connection.cursor() as cursor:
            forget_nothing(cursor, table, before)
    days = [f"{name[-8:-4]}-{name[-4:-2]}-{name[-2:]}" for name, _, _ in partitions]
    return Purged(table, f"{before:%Y-%m-%d}", days, rows, sum(size for _, size, _ in partitions))


def _purge_names(connection: Connection, before: datetime, tell: Tell, *, dry_run: bool) -> Purged:
    """Forget the addresses and names that no row holds any more: none written since says that it has them."""
    rows = _purge_rows(connection, "known_names", "known_names", "seen", before, dry_run=dry_run)
    tell(f"known_names: {rows:,} rows {'would go' if dry_run else 'deleted'}")
    return Purged("known_names", f"{before:%Y-%m-%d}", [], rows, 0)


def _drop(connection: Connection, table: str, partition: str) -> None:
    day = datetime.strptime(partition[-8:], "%Y%m%d").replace(tzinfo=UTC)
    with connection, connection.cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = %s", (_LOCK_MS,))
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        cursor.execute(SQL("DROP TABLE {}").format(Identifier(partition)))
        forget_day(cursor, table, day)


def _purge_rows(
    connection: Connection, table: str, partition: str, column: str, before: datetime, *, dry_run: bool
) -> int:
    """Delete the rows of one partition of *table* that are older, some at a time; return how many."""
    old = SQL("FROM {} WHERE {} < %s").format(Identifier(partition), Identifier(column))
    # From the table, whose triggers count: those of a partition are none.
    delete = SQL(
        "DELETE FROM {} WHERE {} < %s AND tableoid = %s::regclass "
        "AND ctid = ANY(ARRAY(SELECT ctid {} LIMIT {} FOR UPDATE SKIP LOCKED))"
    ).format(Identifier(table), Identifier(column), old, SQL(str(_ROWS_AT_ONCE)))
    if dry_run:
        with connection, connection.cursor() as cursor:
            cursor.execute(SQL("SELECT count(*) {}").format(old), (before,))
            [(count,)] = cursor.fetchall()
            return int(count)
    deleted = 0
    while True:
        with connection, connection.cursor() as cursor:
            # Those that a sink holds go next time.
            cursor.execute(delete, (before, partition, before))
            deleted += cursor.rowcount
            if cursor.rowcount < _ROWS_AT_ONCE:
                return deleted
