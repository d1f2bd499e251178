"""What is older than it may be goes, and nothing else, while sinks write."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from schemas.errors import TryAgainLaterError
from schemas.settings import RetentionSettings, Settings
from schemas.timestamps import to_text
from sinks import owning, purging
from sinks.connecting import connect
from sinks.purging import cutoffs, purge
from sinks.writing import Writer

pytestmark = pytest.mark.postgres

NOW = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)
TABLES = ("delivery_from", "delivery_to", "noqueue", "tls_sessions")


def ago(days: float) -> str:
    return to_text(int((NOW - timedelta(days=days)).timestamp()) * 1_000_000)


def silent(_: str) -> None:
    pass


def store(writer: Writer, rows: Any, *days: float) -> None:
    records = [
        make(ago(age))
        for age in days
        for make in (
            lambda at: rows.message(at, sender=f"s{at[:10]}@example.org"),
            rows.delivery, rows.rejection, rows.session,
        )
    ]  # fmt: skip
    writer.write(rows.batch(*records), {})


def ages(query: Callable[..., Any], table: str) -> list[float]:
    column = "arrived_at" if table.startswith("delivery") else "at"
    return sorted((NOW - at).total_seconds() / 86_400 for (at,) in query(f"SELECT {column} FROM {table}"))


def test_days_go_by_the_age_of_their_table(settings: Settings, writer: Writer, query: Any, rows: Any) -> None:
    store(writer, rows, 0, 1, 10, 30, 31, 100)
    before = cutoffs(RetentionSettings(deliveries_days=30, rejects_days=10, tls_sessions_days=0), None, NOW)
    found = purge(settings, before, silent)
    assert ages(query, "delivery_from") == ages(query, "delivery_to") == [0, 1, 10, 30]
    assert ages(query, "noqueue") == [0, 1, 10]
    assert ages(query, "tls_sessions") == [0, 1, 10, 30, 31, 100]
    assert [(gone.table, gone.days) for gone in found if gone.days] == [
        ("delivery_from", [ago(100)[:10], ago(31)[:10]]),
        ("delivery_to", [ago(100)[:10], ago(31)[:10]]),
        ("noqueue", [ago(100)[:10], ago(31)[:10], ago(30)[:10]]),
    ]
    assert [gone.days for gone in purge(settings, before, silent)] == [[], [], [], []]


def test_what_has_no_partition_of_its_own_goes_row_by_row(
    settings: Settings, writer: Writer, query: Any, rows: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purging, "_ROWS_AT_ONCE", 3)
    store(writer, rows, 0, *range(500, 508))
    old = query("SELECT count(*) FROM delivery_from_earlier")
    found = purge(settings, cutoffs(RetentionSettings(), None, NOW), silent)
    assert (old, ages(query, "delivery_from"), found[0].rows) == ([(8,)], [0], 8)


def test_a_row_that_comes_late_is_stored_and_goes_the_next_time(
    settings: Settings, writer: Writer, query: Any, rows: Any
) -> None:
    before = cutoffs(RetentionSettings(), None, NOW)
    store(writer, rows, 95)
    purge(settings, before, silent)
    store(writer, rows, 95)  # by a sink that knows of the partition that went
    assert ages(query, "delivery_to") == [95]
    purge(settings, before, silent)
    assert [ages(query, table) for table in TABLES] == [[], [], [], []]


def test_names_that_only_old_rows_hold_are_forgotten(settings: Settings, writer: Writer, query: Any, rows: Any) -> None:
    store(writer, rows, 0, 95)
    query("UPDATE known_names SET seen = %s WHERE name LIKE %s", ago(95)[:10], f"s{ago(95)[:10]}%")
    purge(settings, cutoffs(RetentionSettings(), None, NOW), silent)
    assert query("SELECT name FROM known_names WHERE kind = 'sender'") == [(f"s{ago(0)[:10]}@example.org",)]


def test_a_dry_run_tells_the_same_and_changes_nothing(
    settings: Settings, writer: Writer, query: Any, rows: Any
) -> None:
    store(writer, rows, 0, 95, 500)
    before = cutoffs(RetentionSettings(), None, NOW)
    would = purge(settings, before, silent, dry_run=True)
    assert ages(query, "delivery_to") == [0, 95, 500]
    done = purge(settings, before, silent)
    assert [(gone.table, gone.days) for gone in would] == [(gone.table, gone.days) for gone in done]


def test_sinks_write_on_meanwhile_and_what_is_young_stays(settings: Settings, query: Any, rows: Any) -> None:
    """Two sinks write today's rows and late ones without a pause, while the old days go."""
    stop, errors, written = threading.Event(), [], [0, 0]

    def load(number: int) -> None:
        writer = Writer(settings)
        try:
            while not stop.is_set():
                name = {"queue_id": f"{number}{written[number]:09X}"}
                records = [make(ago(age), **name) for age in (0, 95) for make in (rows.message, rows.delivery)]
                writer.write(rows.batch(*records), {})
                written[number] += 1
        except BaseException as error:  # noqa: BLE001 - handed to the test
            errors.append(error)
        writer.close()

    first = Writer(settings)
    store(first, rows, *range(80, 120))
    first.close()
    threads = [threading.Thread(target=load, args=(number,)) for number in (0, 1)]
    for thread in threads:
        thread.start()
    purge(settings, cutoffs(RetentionSettings(), None, NOW), silent)
    seen = sum(written)
    stop.set()
    for thread in threads:
        thread.join()
    assert errors == []
    assert seen > 0
    today = query("SELECT count(*) FROM delivery_to WHERE arrived_at >= %s", ago(1))
    assert today == [(sum(written),)]
    young = [age for age in ages(query, "delivery_to") if age not in {0, 95}]
    assert young == [float(age) for age in range(80, 91)]


def test_a_table_that_is_in_use_for_long_is_told(
    settings: Settings, writer: Writer, rows: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owning, "TRIES", 2)
    monkeypatch.setattr(purging, "_LOCK_MS", 50)
    monkeypatch.setattr(owning, "PAUSE_SECONDS", 0.01)
    store(writer, rows, 95)
    reader = connect(settings.database)
    with reader, reader.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM delivery_from")
        with pytest.raises(TryAgainLaterError, match=r"delivery_from_\d+ is in use"):
            purge(settings, cutoffs(RetentionSettings(), None, NOW), silent)
    reader.close()
    assert len(purge(settings, cutoffs(RetentionSettings(), None, NOW), silent)[0].days) == 1


def test_a_long_query_holds_up_purge_and_no_sink(
    settings: Settings, writer: Writer, query: Any, rows: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Purge waits for the table for a moment, lets sinks through, and tries again, until the query has ended."""
    monkeypatch.setattr(owning, "TRIES", 10_000)
    monkeypatch.setattr(owning, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(purging, "_LOCK_MS", 50)
    store(writer, rows, 95)
    found: list[Any] = []
    reader = connect(settings.database)
    with reader, reader.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM delivery_from")
        before = cutoffs(RetentionSettings(), None, NOW)
        thread = threading.Thread(target=lambda: found.extend(purge(settings, before, silent)))
        thread.start()
        waits = "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'"
        while query(waits) == [(False,)]:
            pass
        for number in range(5):
            writer.write(rows.batch(rows.message(ago(0), queue_id=f"A{number}")), {})
        assert query("SELECT count(*) FROM delivery_from WHERE arrived_at >= %s", ago(1)) == [(5,)]
        assert found == []
    thread.join()
    reader.close()
    assert [len(gone.days) for gone in found] == [1, 1, 1, 1, 0]


def test_ages_count_whole_days_and_none_means_for_ever() -> None:
    before = cutoffs(RetentionSettings(rejects_days=0), None, NOW)
    assert before["delivery_from"] == NOW.replace(hour=0) - timedelta(days=90)
    assert "noqueue" not in before
    assert set(cutoffs(RetentionSettings(rejects_days=0), timedelta(days=7), NOW)) == set(TABLES)
