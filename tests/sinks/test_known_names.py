"""The names that rows hold are there before the rows, and each once."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg2.errors
import pytest

from schemas.settings import Settings
from sinks.known_names import MOST_CHARACTERS, names_of
from sinks.writing import Writer

pytestmark = pytest.mark.postgres

NAMES = "SELECT kind, name FROM known_names ORDER BY kind, name"
TODAY = datetime.now(UTC).date()


def test_senders_recipients_and_clients_are_known(writer: Writer, query: Any, rows: Any) -> None:
    message = rows.message(sender="a@example.org", client_name="mail.example.com")
    delivery = rows.delivery(recipient="b@example.net", orig_recipient="sales@example.net")
    writer.write(rows.batch(message, delivery), {})
    writer.write(rows.batch(message, rows.delivery(recipient="c@example.net")), {})
    assert query(NAMES) == [
        ("client", "mail.example.com"),
        ("recipient", "b@example.net"),
        ("recipient", "c@example.net"),
        ("sender", "a@example.org"),
    ]


def test_what_is_no_name_is_left_out(rows: Any) -> None:
    longest, longer = "x" * MOST_CHARACTERS, "x" * (MOST_CHARACTERS + 1)
    batch = rows.batch(
        rows.message(sender="", client_name=longer), rows.delivery(recipient=""), rows.delivery(recipient=longest)
    )
    assert names_of(batch) == {("recipient", longest)}


def test_the_longest_name_of_the_widest_characters_can_be_stored(writer: Writer, query: Any, rows: Any) -> None:
    names = ["".join(chr(0x10000 + 7919 * k * n % 90_000) for k in range(MOST_CHARACTERS)) for n in (1, 3)]
    writer.write(rows.batch(*(rows.delivery(recipient=name) for name in names)), {})
    assert sorted(name for _, name in query(NAMES)) == sorted(names)


def test_a_name_says_on_which_day_it_was_written_last(settings: Settings, query: Any, rows: Any) -> None:
    old = TODAY - timedelta(days=9)
    for _ in range(2):  # another sink, which remembers nothing
        writer = Writer(settings)
        writer.write(rows.batch(rows.message(sender="a@example.org")), {})
        assert query("UPDATE known_names SET seen = %s RETURNING name", old) == [("a@example.org",)]
        writer.write(rows.batch(rows.message(sender="a@example.org")), {})
        [(seen,)] = query("SELECT seen FROM known_names")
        assert seen == old  # it was stored today
        writer.close()
    writer = Writer(settings)
    writer.write(rows.batch(rows.message(sender="a@example.org")), {})
    [(seen,)] = query("SELECT seen FROM known_names")
    assert TODAY <= seen <= datetime.now(UTC).date()
    writer.close()


def test_a_new_day_stores_them_again(writer: Writer, query: Any, rows: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = rows.batch(rows.message(sender="a@example.org"))
    writer.write(batch, {})
    query("UPDATE known_names SET seen = %s RETURNING 1", date(2026, 1, 1))
    monkeypatch.setattr(writer._names, "_day", date(2026, 1, 1))
    writer.write(batch, {})
    [(seen,)] = query("SELECT seen FROM known_names")
    assert seen >= TODAY


def test_what_is_remembered_has_an_end_and_forgetting_costs_nothing_but_time(
    writer: Writer, query: Any, rows: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sinks.known_names._REMEMBERED", 3)
    for number in [*range(12), *range(12)]:
        writer.write(rows.batch(rows.delivery(recipient=f"{number}@example.net")), {})
        assert len(writer._names._new) + len(writer._names._old) <= 8
    assert len(query(NAMES)) == 12


def test_two_sinks_that_store_the_same_names_do_not_stop_each_other(settings: Settings, query: Any, rows: Any) -> None:
    writers = [Writer(settings) for _ in range(2)]
    batches = [rows.batch(*(rows.delivery(recipient=f"{n}-{k}@example.net") for k in range(200))) for n in range(20)]

    def write(writer: Writer) -> None:
        for batch in batches if writer is writers[0] else reversed(batches):
            writer.write(batch, {})
        writer.close()

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(write, writers))
    assert query("SELECT count(*) FROM known_names") == [(4000,)]


def test_names_of_rows_that_are_refused_do_no_harm(writer: Writer, query: Any, rows: Any) -> None:
    with pytest.raises((ValueError, psycopg2.DataError)):
        writer.write(rows.batch(rows.message(sender="nul\0@example.org")), {})
    writer.write(rows.batch(rows.message(sender="a@example.org")), {})
    assert query(NAMES) == [("sender", "a@example.org")]
