"""A PostgreSQL with our tables and any number of made-up deliveries in them, with every index.

The rows are made in the database, a day at a time, beside the tables: attached, they have their indexes. Addresses are
as uneven as in real mail: a few have very much of it, most of them little. The same number gives the same rows.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

import psycopg2

from journal_postfix.local import EmbeddedDatabase
from schemas.settings import DatabaseSettings, Settings
from sinks import migrating

DAYS: Final = 30
RECIPIENTS_OF_FIVE: Final = 6
"""Deliveries of five messages: every fifth has two."""

# A number below N, the small ones much more often: N to the power of a number in [0, 1) that a row's number gives.
_UNEVEN: Final = "floor(power({n}, (hashint8({of} * {salt}) & 1048575) / 1048576.0))::bigint"


def _uneven(n: int, salt: int, of: str = "k") -> str:
    return _UNEVEN.format(n=n, salt=salt, of=of)


_NUMBER: Final = "(k + %(number)s * %(most)s::bigint)"
_QUEUE_ID: Final = f"lpad(upper(to_hex({_NUMBER})), 11, '0')"
_AT: Final = "%(day)s::date::timestamp AT TIME ZONE 'UTC' + k * (interval '1 day' / %(most)s)"

_MESSAGES: Final = f"""
INSERT INTO {{table}} (arrived_at, queue_id, host, origin, sender, size, recipient_count, message_id, client_name,
    client_address, service, instance, pid, queued_at, removed_at)
SELECT {_AT}, {_QUEUE_ID}, 'mx' || mod(k, 4), 2,
    'user' || {_uneven(200_000, 7)} || '@d' || {_uneven(20_000, 11)} || '.example',
    1000 + mod(k, 90000), 1 + (mod(k, 5) = 0)::int, md5({_NUMBER}::text) || '@mail.example',
    'client' || {_uneven(5000, 19)} || '.example', '192.0.2.' || {_uneven(250, 23)},
    'smtpd', 'postfix', mod(k, 30000), {_AT}, {_AT} + interval '2 seconds'
FROM generate_series(0, %(most)s - 1) AS k
"""

_DELIVERIES: Final = f"""
INSERT INTO {{table}} (arrived_at, queue_id, host, recipient, orig_recipient, origin, last_attempt_at, status, number,
    service, dsn, relay, reply, delay, delays, queued_as, first_attempt_at, attempts, history, parser,
    code, reason, pid)
SELECT {_AT}, {_QUEUE_ID}, 'mx' || mod(k, 4),
    'person' || {_uneven(500_000, 13, "(k + 3 * n)")} || n || '@r' || {_uneven(30_000, 17, "(k + 5 * n)")} ||
    '.example',
    '', 2, {_AT} + interval '1 second', CASE WHEN bad THEN 'bounced' WHEN late THEN 'deferred' ELSE 'sent' END,
    mod(k, 1000000), 'smtp', CASE WHEN bad THEN '5.1.1' WHEN late THEN '4.2.2' ELSE '2.0.0' END,
    'mx.r' || mod(k, 3000) || '.example[198.51.100.' || mod(k, 250) || ']:25',
    '250 2.0.0 Ok: queued as 4' || upper(to_hex({_NUMBER})), 1.2, '0.1/0/0.5/0.6', '4' || upper(to_hex({_NUMBER})),
    {_AT} + interval '1 second', 1, ARRAY[]::text[], 2, 250,
    CASE WHEN bad THEN 'unknown-user' WHEN late THEN 'mailbox-full' END, mod(k, 30000)
FROM generate_series(0, %(most)s - 1) AS k,
    generate_series(0, (mod(k, 5) = 0)::int) AS n,
    LATERAL (SELECT mod(k, 40) = 1 AS bad, mod(k, 25) = 1 AS late) AS fate
"""


@contextmanager
def database(deliveries: int, say: Callable[[str], None]) -> Iterator[DatabaseSettings]:
    """Yield a database that holds about *deliveries*, up to yesterday; it goes at the end."""
    with tempfile.TemporaryDirectory(prefix="journal-postfix-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        with EmbeddedDatabase(folder / "postgres", Settings()) as server:
            migrating.migrate(Settings(database=server.settings))
            fill(server.settings, deliveries, say)
            yield server.settings


def fill(settings: DatabaseSettings, deliveries: int, say: Callable[[str], None]) -> None:
    """Make *deliveries* and their messages."""
    most = deliveries * 5 // (RECIPIENTS_OF_FIVE * DAYS)
    if not most:
        return
    today = datetime.now(UTC).date()

    def make(number: int) -> None:
        day = today - timedelta(days=DAYS - number)
        _make_day(settings, day, {"day": day, "most": most, "number": number})
        say(f"rows of {day}: {most:,} messages")

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        list(pool.map(make, range(DAYS)))
    connection = psycopg2.connect(**settings.connection_parameters())
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    connection.close()


def _make_day(settings: DatabaseSettings, day: date, values: dict[str, object]) -> None:
    connection = psycopg2.connect(**settings.connection_parameters())
    with connection, connection.cursor() as cursor:
        cursor.execute("SET maintenance_work_mem = '512MB'; SET synchronous_commit = off")
        for parent, insert in (("delivery_from", _MESSAGES), ("delivery_to", _DELIVERIES)):
            table = f"{parent}_{day:%Y%m%d}"
            cursor.execute(f"CREATE TABLE {table} (LIKE {parent} INCLUDING DEFAULTS)")
            cursor.execute(insert.format(table=table), values)
            cursor.execute(
                f"ALTER TABLE {parent} ATTACH PARTITION {table} FOR VALUES FROM (%s) TO (%s)",
                (f"{day} 00:00:00+00", f"{day + timedelta(days=1)} 00:00:00+00"),
            )
    connection.close()
