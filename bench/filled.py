"""A PostgreSQL with our tables and any number of made-up deliveries in them, with every index.

The rows are made in the database, a day at a time, beside the tables: attached, they have their indexes. Addresses are
as uneven as in real mail: a few have very much of it, most of them little. Of 40 messages one bounces, of 25 one is
deferred, some of these for good; for three messages, one attempt is refused. The same number gives the same rows.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
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
    client_address, service, instance, pid, queued_at, attempted_at, removed_at, expired_at, held_at, deleted_at)
SELECT {_AT}, {_QUEUE_ID}, 'mx' || mod(k, 4), 2,
    'user' || {_uneven(200_000, 7)} || '@d' || {_uneven(20_000, 11)} || '.example',
    1000 + mod(k, 90000), 1 + (mod(k, 5) = 0)::int, md5({_NUMBER}::text) || '@mail.example',
    'client' || {_uneven(5000, 19)} || '.example', '192.0.2.' || {_uneven(250, 23)},
    'smtpd', 'postfix', mod(k, 30000), {_AT}, {_AT} + interval '1 second',
    CASE WHEN mod(k, 25) <> 1 THEN {_AT} + interval '2 seconds' END,
    CASE WHEN mod(k, 200) = 26 THEN {_AT} + interval '5 days' END,
    CASE WHEN mod(k, 5000) = 51 THEN {_AT} + interval '1 second' END,
    CASE WHEN mod(k, 3000) = 76 THEN {_AT} + interval '1 hour' END
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
    CASE WHEN bad THEN '550 5.1.1 <person' || k || '>: Recipient address rejected: User unknown'
        WHEN late THEN '452 4.2.2 <person' || k || '>: Mailbox is full, try again later'
        ELSE '250 2.0.0 Ok: queued as 4' || upper(to_hex({_NUMBER})) END,
    CASE WHEN mod(k, 90) = 7 THEN 60 + mod(k, 5000) ELSE 0.3 + mod(k, 60) / 10.0 END, '0.1/0/0.5/0.6',
    CASE WHEN NOT (bad OR late) THEN '4' || upper(to_hex({_NUMBER})) END,
    {_AT} + interval '1 second', 1, ARRAY[]::text[], 2, CASE WHEN bad THEN 550 WHEN late THEN 452 ELSE 250 END,
    CASE WHEN bad THEN 'unknown-user' WHEN late THEN 'mailbox-full' END, mod(k, 30000)
FROM generate_series(0, %(most)s - 1) AS k,
    generate_series(0, (mod(k, 5) = 0)::int) AS n,
    LATERAL (SELECT mod(k, 40) = 1 AS bad, mod(k, 25) = 1 AS late) AS fate
"""

_REJECTIONS: Final = f"""
INSERT INTO {{table}} (at, host, digest, parser, service, instance, pid, action, stage, client_name, client_address,
    code, dsn, reply, reason, sender, recipient, protocol, helo)
SELECT {_AT}, 'mx' || mod(k, 4), md5({_NUMBER}::text), 2, 'smtpd', 'postfix', mod(k, 30000),
    CASE WHEN mod(k, 10) = 3 THEN 'milter-reject' ELSE 'reject' END, 'RCPT',
    'unknown', '203.0.' || {_uneven(250, 29)} || '.' || {_uneven(250, 31)}, 550, '5.7.1',
    '550 5.7.1 <person' || k || '>: Recipient address rejected: no',
    (ARRAY['unknown-user', 'blocklisted', 'relay-denied', 'greylisted', 'no-reverse-dns'])[1 + {_uneven(5, 37)}],
    'user' || {_uneven(200_000, 41)} || '@d' || {_uneven(20_000, 43)} || '.example',
    'person' || {_uneven(500_000, 47)} || '@r' || {_uneven(30_000, 53)} || '.example', 'ESMTP', 'localhost'
FROM generate_series(0, %(most)s - 1, 3) AS k
"""

_NAMES: Final = """
INSERT INTO known_names (kind, name, seen)
SELECT kind, name, current_date
FROM (
    SELECT 'sender' AS kind, sender AS name FROM delivery_from
    UNION
    SELECT 'client', client_name FROM delivery_from
    UNION
    SELECT 'recipient', recipient FROM delivery_to
) AS names
"""


@contextmanager
def database(deliveries: int, say: Callable[[str], None], kept: Path | None = None) -> Iterator[DatabaseSettings]:
    """Yield a database that holds about *deliveries*, up to yesterday.

    It goes at the end; or it is *kept* in a folder, and is there already the next time.
    """
    with ExitStack() as stack:
        folder = kept or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="journal-postfix-bench-")))
        folder.mkdir(exist_ok=True)
        folder.chmod(0o711)
        server = EmbeddedDatabase(folder / "postgres", Settings())
        filled = server.has_data()
        stack.enter_context(server)
        migrating.migrate(Settings(database=server.settings))
        if not filled:
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
        cursor.execute(_NAMES)
        cursor.execute("SELECT recount()")  # attached rows tell no trigger
        cursor.execute("VACUUM ANALYZE")
    connection.close()


def _make_day(settings: DatabaseSettings, day: date, values: dict[str, object]) -> None:
    connection = psycopg2.connect(**settings.connection_parameters())
    with connection, connection.cursor() as cursor:
        cursor.execute("SET maintenance_work_mem = '512MB'; SET synchronous_commit = off")
        for parent, insert in (
            ("delivery_from", _MESSAGES), ("delivery_to", _DELIVERIES), ("noqueue", _REJECTIONS),
        ):  # fmt: skip
            table = f"{parent}_{day:%Y%m%d}"
            cursor.execute(f"CREATE TABLE {table} (LIKE {parent} INCLUDING DEFAULTS)")
            cursor.execute(insert.format(table=table), values)
            cursor.execute(
                f"ALTER TABLE {parent} ATTACH PARTITION {table} FOR VALUES FROM (%s) TO (%s)",
                (f"{day} 00:00:00+00", f"{day + timedelta(days=1)} 00:00:00+00"),
            )
    connection.close()
