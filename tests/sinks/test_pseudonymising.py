"""Rows of days that are old enough name nobody, whatever came before or comes after; young ones stay as they are."""

import random
import re
import threading
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from schemas.deliveries import DeliveryTo
from schemas.errors import TryAgainLaterError
from schemas.settings import RetentionSettings, Settings
from schemas.timestamps import to_text
from sinks import owning, renaming
from sinks.connecting import connect
from sinks.erasing import erase
from sinks.erasures import LOCK
from sinks.pseudonymising import border, pseudonymise
from sinks.purging import cutoffs, purge
from sinks.writing import Writer

pytestmark = pytest.mark.postgres

PAGE = Path(__file__).parents[2] / "docs/privacy.md"
NOW = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)
TABLES = ("delivery_from", "delivery_to", "noqueue", "tls_sessions")
PEOPLE = ("anna@example.org", "Anna@Example.org", "bob@example.net", "élise@example.org", "root")


def ago(days: float, seconds: float = 0) -> str:
    return to_text(int((NOW - timedelta(days=days) + timedelta(seconds=seconds)).timestamp()) * 1_000_000)


def day(age: int) -> date:
    return (NOW - timedelta(days=age)).date()


def silent(_: str) -> None:
    pass


def everything(query: Callable[..., Any], *tables: str) -> list[str]:
    """All rows of *tables*, as texts, in order."""
    return sorted(text for table in tables or TABLES for (text,) in query(f"SELECT {table}::text FROM {table}"))


def clear(query: Callable[..., Any], *tables: str) -> list[str]:
    """Those that name somebody."""
    names = [name.partition("@")[0].lower() for name in PEOPLE] + ["192.0.2.7", "annas-pc"]
    return [row for row in everything(query, *tables) if any(name in row.lower() for name in names)]


def versions(rows: Any, at: str, queue_id: str, seed: int) -> list[Any]:
    """What is said, bit by bit, of one message and of what happened beside it; no two of it contradict each other."""
    draw = random.Random(seed)
    name = {"queue_id": queue_id}
    sender = draw.choice(PEOPLE)
    said: list[Any] = [
        rows.message(at, **name, sender=sender, size=7),
        rows.message(at, **name, client_name="annas-pc.isp.test", client_address="192.0.2.7", helo="annas-pc"),
        rows.message(at, **name, sasl_username=sender, message_id="m1@example.org", client_port=4711),
        rows.rejection(
            at, digest=queue_id, sender=sender, recipient="anna@example.org", client_address="192.0.2.7",
            client_name="annas-pc.isp.test", helo="annas-pc", reply="554 <anna@example.org>: user anna, 192.0.2.7",
        ),
        rows.session(at, digest=queue_id, peer_name="annas-pc.isp.test", peer_address="192.0.2.7", peer_port=4711),
    ]  # fmt: skip
    for recipient in draw.sample(PEOPLE, 3):
        for number in range(3):
            tried = to_text((int((NOW - timedelta(days=1)).timestamp()) + number) * 1_000_000)
            reply = f"450 <{recipient}>: {'over quota ' * draw.randrange(16)}<{recipient}> again"
            said.append(rows.delivery(at, **name, recipient=recipient, last_attempt_at=tried, status="deferred",
                                      number=number, reply=reply))  # fmt: skip
    return said


def recipients(facts: list[Any]) -> int:
    """How many rows of recipients *facts* make: spellings of one address are one."""
    return len({(fact.queue_id, fact.recipient.lower()) for fact in facts if isinstance(fact, DeliveryTo)})


def test_rows_are_the_same_whenever_they_came(settings: Settings, query: Any, rows: Any) -> None:
    """Each fact comes before or after its day is done, in any order, and again: as if all had come before."""
    ages = (40, 31, 30, 29, 3, 0)
    facts = [
        fact
        for number, age in enumerate(ages)
        for fact in versions(rows, ago(age), f"A{number:09}", number)
    ]  # fmt: skip
    writer = Writer(settings)
    writer.write(rows.batch(*facts), {})
    pseudonymise(settings, day(29), silent)
    expected = everything(query)
    assert clear(query) != []
    for seed in range(6):
        query("DELETE FROM delivery_from; DELETE FROM delivery_to; DELETE FROM noqueue; DELETE FROM tls_sessions")
        query("DELETE FROM pseudonymised")
        draw = random.Random(seed)
        shuffled = [*facts, *draw.sample(facts, len(facts) // 2)]
        draw.shuffle(shuffled)
        cuts = sorted(draw.sample(range(len(shuffled)), 4))
        for number, (start, end) in enumerate(zip([0, *cuts], [*cuts, len(shuffled)], strict=True)):
            writer.write(rows.batch(*shuffled[start:end]), {})
            if number in {1, 3}:
                pseudonymise(settings, day(35 if number == 1 else 29), silent)
        pseudonymise(settings, day(29), silent)
        assert everything(query) == expected
    writer.close()


def test_days_are_those_of_the_settings(settings: Settings, writer: Writer, query: Any, rows: Any) -> None:
    for number, age in enumerate((500, 31, 30, 29, 0)):
        writer.write(rows.batch(*versions(rows, ago(age), f"A{number:09}", number)), {})
    told: list[str] = []
    found = pseudonymise(settings, border(RetentionSettings(pseudonymise_days=29), NOW), told.append)
    assert {(NOW - at).days for (at,) in query("SELECT arrived_at FROM delivery_from WHERE helo = 'annas-pc'")} == {
        29,
        0,
    }
    assert [(table.table, table.rows) for table in found] == [
        ("delivery_from", 3), ("delivery_to", 9), ("noqueue", 3), ("tls_sessions", 3), ("known_names", 0)
    ]  # fmt: skip
    assert told[0].startswith(f"{day(31)} and before: 12 rows pseudonymised (1 of 2 days)")
    assert [table.rows for table in pseudonymise(settings, day(29), silent)] == [0, 0, 0, 0, 0]
    assert border(RetentionSettings(), NOW) is None


def test_a_dry_run_counts_and_changes_nothing(settings: Settings, writer: Writer, query: Any, rows: Any) -> None:
    for number, age in enumerate((31, 30, 0)):
        writer.write(rows.batch(*versions(rows, ago(age), f"A{number:09}", number)), {})
    before = everything(query)
    found = pseudonymise(settings, day(29), silent, dry_run=True)
    assert [table.rows for table in found] == [2, 6, 2, 2]
    assert everything(query) == before
    assert query("SELECT count(*) FROM pseudonymised") == [(0,)]


def test_a_day_that_was_broken_off_is_gone_on_with(
    settings: Settings, writer: Writer, query: Any, rows: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(10):
        writer.write(rows.batch(*versions(rows, ago(31), f"A{number:09}", number)), {})
    monkeypatch.setattr(renaming, "_ROWS_AT_ONCE", 4)
    done = []

    def stop_after(_: Any, batch: Any) -> None:
        done.append(batch)
        if len(done) == 4:
            raise psycopg2.OperationalError("the server went away")

    with monkeypatch.context() as patch:
        patch.setattr(renaming, "_store_names", stop_after)
        with pytest.raises(TryAgainLaterError, match="run it again"):
            pseudonymise(settings, day(29), silent)
    assert clear(query) != []
    assert query("SELECT before, done FROM pseudonymised") == [(day(30), None)]
    late = versions(rows, ago(31), "A000000001", 1)
    writer.write(rows.batch(*late), {})
    pseudonymise(settings, None, silent)  # also if the setting was taken back meanwhile
    assert clear(query) == []
    assert query("SELECT count(*) FROM delivery_to WHERE queue_id = 'A000000001'") == [(recipients(late),)]


def test_sinks_that_write_the_day_meanwhile_bring_nobody_back(settings: Settings, query: Any, rows: Any) -> None:
    """Two sinks write old and young rows, again and again, while the old days are rewritten in small pieces."""
    stop, errors, rounds = threading.Event(), [], [0, 0]
    young = [fact for n in range(3) for fact in versions(rows, ago(0), f"C{n:09}", n)]
    old = [fact for n in range(30) for fact in versions(rows, ago(30 + n % 2, n), f"B{n:09}", n)]
    going = threading.Semaphore(0)

    def load(number: int) -> None:
        writer = Writer(settings)
        draw = random.Random(number)
        try:
            while not stop.is_set():
                writer.write(rows.batch(*draw.sample(old, 60), *young), {})
                rounds[number] += 1
                going.release()
        except BaseException as error:  # noqa: BLE001 - handed to the test
            errors.append(error)
            going.release()
        writer.close()

    first = Writer(settings)
    first.write(rows.batch(*old), {})
    first.close()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(renaming, "_ROWS_AT_ONCE", 10)
        threads = [threading.Thread(target=load, args=(number,)) for number in (0, 1)]
        for thread in threads:
            thread.start()
        for _ in range(4):
            going.acquire()
        before = sum(rounds)
        pseudonymise(settings, day(29), silent)
        for _ in range(4):
            going.acquire()
    stop.set()
    for thread in threads:
        thread.join()
    assert errors == []
    assert sum(rounds) > before
    for table in TABLES:
        time = "at" if table in {"noqueue", "tls_sessions"} else "arrived_at"
        left = query(f"SELECT {table}::text FROM {table} WHERE {time} < %s", day(29))
        assert [row for (row,) in left if "anna" in row.lower() or "192.0.2.7" in row] == []
    assert query("SELECT count(*) FROM delivery_to WHERE arrived_at < %s", day(29)) == [(recipients(old),)]


def test_no_sink_waits_for_more_than_some_rows(settings: Settings, query: Any, rows: Any) -> None:
    """While the rewriting stands still amid a day, held by a lock, young rows are written and the old day's others."""
    writer, holder = Writer(settings), connect(settings.database)
    for number in range(3):
        writer.write(rows.batch(*versions(rows, ago(30), f"A{number:09}", number)), {})
    begun = threading.Event()
    with holder, holder.cursor() as cursor:
        cursor.execute("SELECT FROM delivery_to FOR UPDATE")

        def rewrite() -> None:
            pseudonymise(settings, day(29), silent)

        thread = threading.Thread(target=rewrite)
        thread.start()
        watcher = connect(settings.database)
        watcher.autocommit = True
        while not begun.is_set():
            with watcher.cursor() as look:
                look.execute("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'")
                if look.fetchone() != (0,):
                    begun.set()
        watcher.close()
        writer.write(rows.batch(rows.message(ago(0)), rows.delivery(ago(0)), rows.delivery(ago(30))), {})
        assert query("SELECT count(*) FROM delivery_to") == [(11,)]
    thread.join()
    assert [row for row in clear(query) if f"{day(30)}" in row] == []
    writer.close()
    holder.close()


def test_a_part_that_joins_an_older_message_does_so_under_pseudonyms(
    settings: Settings, writer: Writer, query: Any, rows: Any
) -> None:
    """The message comes late, for a day that is done; what belongs to it waits on a day that is not."""
    origin, part = ago(30), ago(28)
    waiting = rows.message(part, origin=0, sender="anna@example.org")
    recipient = rows.delivery(part, origin=0, recipient="anna@example.org")
    writer.write(rows.batch(waiting, recipient), {})
    pseudonymise(settings, day(29), silent)
    assert len(clear(query)) == 2
    writer.write(rows.batch(rows.message(origin, message_id="m1@example.org")), {})
    assert query("SELECT count(*) FROM delivery_from") == query("SELECT count(*) FROM delivery_to") == [(1,)]
    assert clear(query) == []


def test_known_names_are_those_that_rows_hold(settings: Settings, writer: Writer, query: Any, rows: Any) -> None:
    writer.write(rows.batch(*versions(rows, ago(30), "A000000001", 1)), {})
    writer.write(rows.batch(rows.message(ago(30), client_name="shop.example", sender="carl@shop.example")), {})
    query("UPDATE known_names SET seen = %s", day(30))
    writer.write(rows.batch(rows.message(ago(0), sender="bob@example.net")), {})
    other = Writer(settings)  # another day's, which remembers none
    other.write(rows.batch(rows.message(ago(0), sender="bob@example.net")), {})
    other.close()
    pseudonymise(settings, day(29), silent)
    assert clear(query, "known_names") == [row for row in clear(query, "known_names") if "bob@example.net" in row]
    assert query("SELECT count(*) FROM known_names WHERE name = 'bob@example.net'") == [(1,)]
    assert query("SELECT count(*) FROM known_names WHERE name = 'shop.example'") == [(1,)]
    held = query(
        "SELECT 'sender', sender FROM delivery_from UNION SELECT 'client', client_name FROM delivery_from "
        "WHERE client_name <> '' UNION SELECT 'recipient', recipient FROM delivery_to"
    )
    assert sorted(query("SELECT kind, name FROM known_names")) == sorted(held)


def test_refused_clients_are_counted_by_their_networks(
    settings: Settings, writer: Writer, query: Any, rows: Any
) -> None:
    for number, age in enumerate((31, 31, 0)):
        writer.write(rows.batch(*versions(rows, ago(age), f"A{number:09}", number)), {})
    pseudonymise(settings, day(29), silent)
    counted = query("SELECT client_address, sum(rejects) FROM client_counts GROUP BY day, client_address ORDER BY day")
    assert counted == [("192.0.2.0", 2), ("192.0.2.7", 1)]


def test_the_owner_still_finds_a_person_by_the_key(settings: Settings, writer: Writer, query: Any, rows: Any) -> None:
    """With the statement of the page on personal data."""
    to = [rows.delivery(ago(30), recipient=name) for name in ("Anna@Example.org", "bob@example.org")]
    writer.write(rows.batch(rows.message(ago(30)), *to), {})
    pseudonymise(settings, day(29), silent)
    [statement] = re.findall(r"```sql\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(query(statement)) == 1


@pytest.mark.parametrize("how", ["remove", "pseudonymise"])
def test_a_person_is_erased_under_the_pseudonym_too(
    settings: Settings, writer: Writer, query: Any, rows: Any, how: Any
) -> None:
    fact = rows.delivery(ago(30), recipient="anna@example.org", reply="<anna@example.org>: unknown")
    quote = rows.delivery(ago(30), recipient="carl@example.org", reply="not <anna@example.org>")
    writer.write(rows.batch(fact, quote), {})
    pseudonymise(settings, day(29), silent)
    [(pseudonym,)] = query("SELECT recipient FROM delivery_to WHERE reply LIKE '%%unknown'")
    counts = {count.table: count.rows for count in erase(settings, "anna@example.org", how, silent)}
    assert counts["delivery_to"] == 2
    assert [row for row in everything(query, *TABLES, "known_names") if pseudonym in row] == []
    erased = everything(query)
    writer.write(rows.batch(fact), {})
    assert everything(query) == erased


def test_what_is_young_and_what_is_dropped_are_no_matter(
    settings: Settings, writer: Writer, query: Any, rows: Any
) -> None:
    for age in (95, 40, 0):
        writer.write(rows.batch(rows.delivery(ago(age), recipient="anna@example.org")), {})
    purge(settings, cutoffs(RetentionSettings(), None, NOW), silent)
    pseudonymise(settings, day(30), silent)
    writer.write(rows.batch(rows.delivery(ago(95), recipient="anna@example.org")), {})
    assert [row[0] for row in query("SELECT recipient = 'anna@example.org' FROM delivery_to ORDER BY arrived_at")] == [
        False, False, True
    ]  # fmt: skip


def test_a_sink_that_stands_still_is_told(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owning, "TRIES", 2)
    monkeypatch.setattr(owning, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(renaming, "_LOCK_MS", 50)
    sink = connect(settings.database)
    with sink, sink.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock_shared(%s)", (LOCK,))
        with pytest.raises(TryAgainLaterError, match="a sink holds"):
            pseudonymise(settings, day(29), silent)
    sink.close()
