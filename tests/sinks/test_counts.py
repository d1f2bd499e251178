"""The counts for statistics are what counting the rows gives, whatever came, in whatever order, from several sinks."""

import random
import threading
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import psycopg2.errors
import pytest

from schemas.settings import DatabaseSettings, RetentionSettings, Settings
from schemas.timestamps import to_text
from sinks import migrating
from sinks.connecting import connect
from sinks.erasing import erase
from sinks.migrating import migrate, migrations
from sinks.purging import cutoffs, purge
from sinks.writing import Writer

pytestmark = pytest.mark.postgres

NOON: Final = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)

COUNTED: Final = {
    "SELECT hour, host, status, reason, sum(deliveries), sum(timed), sum(delay_ms), sum(within_1s), sum(within_10s), "
    "sum(within_1min), sum(within_10min), sum(within_1h) FROM delivery_counts GROUP BY 1, 2, 3, 4 "
    "HAVING sum(deliveries) <> 0":
    "SELECT date_trunc('hour', arrived_at, 'UTC'), host, CASE WHEN status = 'sent' AND service ~ '(^|/)discard$' "
    "THEN 'discarded' ELSE status END, coalesce(reason, ''), count(*), count(delay), "
    "coalesce(sum((delay * 1000)::bigint), 0), count(*) FILTER (WHERE delay <= 1), "
    "count(*) FILTER (WHERE delay <= 10), "
    "count(*) FILTER (WHERE delay <= 60), count(*) FILTER (WHERE delay <= 600), count(*) FILTER (WHERE delay <= 3600) "
    "FROM delivery_to GROUP BY 1, 2, 3, 4",
    "SELECT day, domain, trouble, sum(deliveries), sum(delay_ms) FROM trouble_counts GROUP BY 1, 2, 3 "
    "HAVING sum(deliveries) <> 0":
    "SELECT date_trunc('day', arrived_at, 'UTC'), lower(split_part(recipient, '@', 2)), "
    "CASE status WHEN 'sent' THEN 'slow' ELSE status END, count(*), coalesce(sum((delay * 1000)::bigint), 0) "
    "FROM delivery_to WHERE status IN ('deferred', 'bounced') OR status = 'sent' AND delay >= 60 GROUP BY 1, 2, 3",
    "SELECT hour, host, fate, reason, sum(messages), sum(bytes) FROM message_counts GROUP BY 1, 2, 3, 4 "
    "HAVING sum(messages) <> 0":
    "SELECT date_trunc('hour', arrived_at, 'UTC'), host, CASE WHEN attempted_at IS NOT NULL AND message_status(f) IN "
    "('rejected', 'discarded', 'cancelled') THEN 'queued' ELSE message_status(f) END, coalesce(reject_reason, ''), "
    "count(*), coalesce(sum(size), 0) FROM delivery_from f GROUP BY 1, 2, 3, 4",
    "SELECT hour, host, action, reason, sum(rejects) FROM reject_counts GROUP BY 1, 2, 3, 4 HAVING sum(rejects) <> 0":
    "SELECT date_trunc('hour', at, 'UTC'), host, action, coalesce(reason, ''), count(*) FROM noqueue "
    "GROUP BY 1, 2, 3, 4",
    "SELECT day, client_address, sum(rejects) FROM client_counts GROUP BY 1, 2 HAVING sum(rejects) <> 0":
    "SELECT date_trunc('day', at, 'UTC'), client_address, count(*) FROM noqueue WHERE action <> 'reject_warning' "
    "AND client_address IS NOT NULL GROUP BY 1, 2",
}  # fmt: skip
"""What the counts say, and what the rows do."""


def assert_exact(query: Any) -> None:
    for counts, rows in COUNTED.items():
        assert sorted(query(counts)) == sorted(query(rows))


def ago(days: float, seconds: float = 0) -> str:
    moment = NOON - timedelta(days=days) + timedelta(seconds=seconds)
    return to_text(round(moment.timestamp() * 1_000_000))


def some_records(pick: random.Random, rows: Any) -> list[Any]:
    """Return records of a few slots, versions and parts of one message among them."""
    records: list[Any] = []
    for number in range(60):
        slot = {"queue_id": f"{number % 20:010X}", "host": f"mx{number % 2}"}
        arrived = ago(pick.choice((0, 1, 450)), pick.choice((0, 3, 30, 4000)))
        origin = pick.choice((0, 1, 2, 2, 2))
        marks = pick.choice(("removed_at", "expired_at", "held_at", "rejected_at", "deleted_at", "released_at"))
        records += [
            rows.message(arrived, **slot, origin=origin, sender=f"s{number % 7}@a.test", size=pick.randrange(9999)),
            rows.message(arrived, **slot, origin=origin, queued_at=arrived, **{marks: ago(0)}),
            rows.message(
                arrived, **slot, reject_reason=pick.choice(("spam", None)), attempted_at=pick.choice((arrived, None))
            ),
            *(
                rows.delivery(
                    arrived, **slot, origin=origin, recipient=f"r{number % 3}@D{number % 4}.test", status=status,
                    last_attempt_at=ago(0, pick.randrange(-900, 900)), delay=pick.choice((None, 0.5, 59.9, 60.0, 4e3)),
                    service=pick.choice(("smtp", "discard", "x/discard")), reason=pick.choice(("mailbox-full", None)),
                )
                for status in pick.sample(("sent", "deferred", "bounced", "rejected"), 2)
            ),
            rows.rejection(
                arrived, digest=f"{number:016x}", action=pick.choice(("reject", "reject_warning", "milter-reject")),
                client_address=pick.choice(("192.0.2.1", None)), reason=pick.choice(("spam", None)),
            ),
        ]  # fmt: skip
    return records


def withdraw(batch: Any, record: Any) -> Any:
    """Have *batch* take back what was written of the record's message, as a tombstone does."""
    batch.withdrawn[record.host, record.queue_id, record.arrived_at] = None
    return batch


def write_some(writer: Writer, pick: random.Random, rows: Any, records: list[Any]) -> None:
    """Write random batches of *records*, many of them more than once, and withdraw some."""
    for _ in range(10):
        batch = rows.batch(*pick.sample(records, pick.randrange(1, 60)))
        messages = [record for record in records if hasattr(record, "sender") and hasattr(record, "size")]
        if pick.random() < 0.3:
            withdraw(batch, pick.choice(messages))
        while True:
            try:
                writer.write(batch, {})
                break
            except psycopg2.errors.DeadlockDetected:  # over the parts that both join: a sink tries again
                continue


@pytest.mark.parametrize("seed", range(2))
def test_counts_are_exact_after_anything_from_two_sinks_at_once(
    settings: Settings, query: Any, rows: Any, seed: int
) -> None:
    pick = random.Random(seed)
    records = some_records(pick, rows)
    failed: list[BaseException] = []

    def load(own: random.Random) -> None:
        writer = Writer(settings)
        try:
            write_some(writer, own, rows, records)
        except BaseException as error:  # noqa: BLE001 - handed to the test
            failed.append(error)
        writer.close()

    sinks = [threading.Thread(target=load, args=(random.Random(f"{seed}{n}"),)) for n in (1, 2)]
    for sink in sinks:
        sink.start()
    for sink in sinks:
        sink.join()
    assert failed == []
    assert query("SELECT count(*) > 20 FROM delivery_counts") == [(True,)]
    assert_exact(query)


def test_counts_are_exact_after_erasure(settings: Settings, writer: Writer, query: Any, rows: Any) -> None:
    address = "r1@D1.test"
    writer.write(rows.batch(*some_records(random.Random(7), rows)), {})
    erase(settings, address, "remove", lambda _: None)
    assert query("SELECT count(*) > 0 FROM trouble_counts WHERE domain = 'erased.invalid' AND deliveries > 0") == [
        (True,)
    ]
    assert_exact(query)


def test_counts_of_purged_days_go_and_others_stay_exact(
    settings: Settings, writer: Writer, query: Any, rows: Any
) -> None:
    def records(*days: float) -> list[Any]:
        return [
            make(ago(age), queue_id=f"{number:010X}", **fields)
            for age in days
            for number in range(5)
            for make, fields in ((rows.message, {}), (rows.delivery, {"status": "deferred"}))
        ] + [rows.rejection(ago(age), client_address="192.0.2.1") for age in days]

    writer.write(rows.batch(*records(0, 40, 95, 500)), {})
    retention = RetentionSettings(deliveries_days=90, rejects_days=30)
    purge(settings, cutoffs(retention, None, NOON), lambda _: None)
    assert_exact(query)
    ages = "SELECT DISTINCT (%s - hour)::text FROM {} ORDER BY 1"
    assert query(ages.format("delivery_counts"), NOON) == query(ages.format("message_counts"), NOON)
    assert query(ages.format("delivery_counts"), NOON) == [("00:00:00",), ("40 days",)]
    assert query(ages.format("reject_counts"), NOON) == [("00:00:00",)]
    writer.write(rows.batch(*records(95)), {})  # late, for a day that is gone: goes the next time
    assert_exact(query)
    purge(settings, cutoffs(retention, None, NOON), lambda _: None)
    assert_exact(query)
    assert query("SELECT count(*) FROM delivery_counts WHERE hour < %s", ago(90)) == [(0,)]


def test_rows_that_were_there_before_and_days_that_are_attached_are_counted(
    writer: Writer, query: Any, rows: Any
) -> None:
    writer.write(rows.batch(*some_records(random.Random(3), rows)), {})
    query("TRUNCATE delivery_counts, message_counts, reject_counts, trouble_counts, client_counts")
    query("SELECT recount()")
    assert_exact(query)


def test_a_sink_does_not_wait_for_the_counts_of_another(
    settings: Settings, writer: Writer, query: Any, rows: Any
) -> None:
    other = connect(settings.database)
    writer.write(rows.batch(rows.delivery(ago(0), queue_id="A")), {})
    with other, other.cursor() as cursor:
        cursor.execute("UPDATE delivery_to SET status = 'bounced' WHERE queue_id = 'A'")
        writer.write(rows.batch(rows.delivery(ago(0), queue_id="B")), {})
    other.close()
    assert_exact(query)


def test_what_was_counted_twice_before_is_counted_once_after_the_migration(
    database: DatabaseSettings, monkeypatch: pytest.MonkeyPatch, rows: Any
) -> None:
    settings = Settings(database=database)
    before = [migration for migration in migrations() if migration.name < "0018"]
    monkeypatch.setattr(migrating, "migrations", lambda: before)
    migrate(settings)
    writer = Writer(settings)
    writer.write(rows.batch(*some_records(random.Random(5), rows)), {})
    writer.close()
    monkeypatch.undo()
    migrate(settings)

    connection = connect(settings.database)

    def query(text: str) -> Any:
        with connection, connection.cursor() as cursor:
            cursor.execute(text)
            return cursor.fetchall()

    assert query(
        "SELECT count(*) > 0 FROM delivery_from WHERE rejected_at IS NOT NULL AND attempted_at IS NOT NULL"
    ) == [(True,)]
    assert_exact(query)
    connection.close()
