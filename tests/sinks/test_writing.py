"""One transaction: rows and positions, both or neither; every time has a place; a replay changes nothing."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg2
import pytest

from schemas.errors import JournalPostfixError
from schemas.settings import Settings
from sinks.writing import REFUSALS, PositionMovedError, Positions, Writer

pytestmark = pytest.mark.postgres

PARTITION = ("postfix.delivery-from", 0)


def day(offset: int) -> str:
    return f"{datetime.now(UTC).date() + timedelta(days=offset)}T12:00:00.000000Z"


def place_of(query: Any, queue_id: str) -> str:
    [(place,)] = query("SELECT tableoid::regclass::text FROM delivery_from WHERE queue_id = %s", queue_id)
    return str(place)


def test_rows_and_positions_are_stored_together(writer: Writer, query: Any, rows: Any) -> None:
    records = rows.message(), rows.delivery(), rows.rejection(), rows.session()
    writer.write(rows.batch(*records), {PARTITION: Positions(None, 5)})
    assert writer.positions([PARTITION[0]]) == {PARTITION: (5, 0, None)}
    tables = ("delivery_from", "delivery_to", "noqueue", "tls_sessions")
    assert [query(f"SELECT count(*) FROM {table}") for table in tables] == [[(1,)]] * 4


@pytest.mark.parametrize("expected", [None, 4, 6])
def test_a_sink_that_expects_another_position_stores_nothing(
    writer: Writer, query: Any, rows: Any, expected: int | None
) -> None:
    writer.write(rows.batch(), {PARTITION: Positions(None, 5)})
    with pytest.raises(PositionMovedError):
        writer.write(rows.batch(rows.message()), {PARTITION: Positions(expected, 9)})
    assert writer.positions([PARTITION[0]]) == {PARTITION: (5, 0, None)}
    assert query("SELECT count(*) FROM delivery_from") == [(0,)]


def test_of_two_sinks_that_write_the_same_records_one_does(settings: Settings, query: Any, rows: Any) -> None:
    writers = [Writer(settings) for _ in range(2)]
    writers[0].write(rows.batch(), {PARTITION: Positions(None, 0)})

    def write(writer: Writer) -> bool:
        try:
            writer.write(rows.batch(rows.message()), {PARTITION: Positions(0, 1)})
        except PositionMovedError:
            return False
        finally:
            writer.close()
        return True

    with ThreadPoolExecutor(2) as threads:
        assert sorted(threads.map(write, writers)) == [False, True]
    assert query("SELECT count(*) FROM delivery_from") == [(1,)]


@pytest.mark.parametrize(
    "fields",
    [
        {"sender": "a\0b"},
        {"size": 2**63},
        {"queue_id": "Q" * 5000},
        {"host": "".join(map(chr, range(0x4E00, 0x4E00 + 4000)))},
        {"client_name": "".join(map(chr, range(0x4E00, 0x4E00 + 4000)))},
    ],
    ids=["NUL", "number", "compressible key", "key", "indexed"],
)
def test_what_postgresql_refuses_is_told_from_a_server_that_is_away(
    writer: Writer, rows: Any, fields: dict[str, Any]
) -> None:
    batch = rows.batch(rows.message(**fields))
    if fields.get("queue_id"):  # fits, since it compresses well
        writer.write(batch, {})
        return
    assert writer.refusal(batch)
    with pytest.raises(REFUSALS):
        writer.write(batch, {})
    writer.write(rows.batch(rows.message()), {})


def test_tables_that_are_gone_are_no_fault_of_the_rows(writer: Writer, query: Any, rows: Any) -> None:
    query("ALTER TABLE delivery_from RENAME TO gone")
    with pytest.raises((JournalPostfixError, psycopg2.Error)) as caught:
        writer.write(rows.batch(rows.message()), {})
    assert not isinstance(caught.value, REFUSALS)


def test_a_replay_writes_no_row_again(writer: Writer, query: Any, rows: Any) -> None:
    records = [rows.message(sender="a@x.test", size=3), rows.delivery(status="deferred"),
               rows.delivery(last_attempt_at="2026-11-22T07:00:00.000000Z"), rows.rejection(),
               rows.session()]  # fmt: skip
    tables = ("delivery_from", "delivery_to", "noqueue", "tls_sessions")
    where = " UNION ALL ".join(f"SELECT ctid, xmin::text FROM {table}" for table in tables)
    writer.write(rows.batch(*records), {})
    before = query(where)
    for record in records:
        writer.write(rows.batch(record), {})
    assert query(where) == before


@pytest.mark.parametrize("parser", [2, 1, 3], ids=["same parser", "older parser", "newer parser"])
def test_a_sender_from_elsewhere_does_not_take_the_place_of_the_queue_managers(
    writer: Writer, query: Any, rows: Any, parser: int
) -> None:
    queued = {"sender": "m@x.test", "verp_id": None, "queued_at": "2026-11-22T06:00:01.000000Z"}
    stored = "SELECT sender, verp_id, ctid, xmin::text FROM delivery_from"
    writer.write(rows.batch(rows.message(parser=2, sender="z+m@web1.x.test", verp_id="m")), {})
    writer.write(rows.batch(rows.message(parser=2, **queued)), {})
    before = query(stored)
    for sender in ("z+m@x.test", "a+m@x.test", ""):
        writer.write(rows.batch(rows.message(parser=parser, sender=sender, verp_id="m")), {})
    after = query(stored)
    assert [row[:2] for row in after] == [("m@x.test", None)]
    assert (after == before) == (parser < 3), "written only where it is another parser's now"


def test_a_session_is_stored_as_it_was_read_and_as_a_newer_parser_reads_it(
    writer: Writer, query: Any, rows: Any
) -> None:
    stored = "SELECT trust, reused, peer_name, peer_address, peer_port, protocol, cipher, parser FROM tls_sessions"
    for parser, trust in ((2, "trusted"), (1, "untrusted"), (2, "verified")):
        writer.write(rows.batch(rows.session(parser=parser, trust=trust, reused=True, peer_port=4711)), {})
    assert query(stored) == [
        ("trusted", True, "c.example.net", "192.0.2.1", 4711, "TLSv1.3", "TLS_AES_256_GCM_SHA384", 2)
    ]
    writer.write(rows.batch(rows.session(parser=3, trust="", peer_name=None, peer_address=None)), {})
    assert query(stored) == [("", False, None, None, None, "TLSv1.3", "TLS_AES_256_GCM_SHA384", 3)]


@pytest.mark.parametrize(
    "time", ["1970-01-01T00:00:00.000000Z", "2004-02-29T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"]
)
def test_a_time_that_a_broken_clock_made_up_makes_no_partition(
    writer: Writer, query: Any, rows: Any, time: str
) -> None:
    writer.write(rows.batch(rows.message(), rows.rejection()), {})
    before = query("SELECT count(*) FROM pg_partition_tree('delivery_from')")
    made_up = rows.message(time, queue_id="MADEUP"), rows.delivery(time), rows.rejection(time), rows.session(time)
    writer.write(rows.batch(*made_up), {})
    assert query("SELECT count(*) FROM pg_partition_tree('delivery_from')") == before
    assert place_of(query, "MADEUP") in {"delivery_from_earlier", "delivery_from_later"}
    assert query("SELECT count(*) FROM noqueue") == [(2,)]
    [(place,)] = query("SELECT tableoid::regclass::text FROM tls_sessions")
    assert place in {"tls_sessions_earlier", "tls_sessions_later"}


def test_days_of_a_year_ago_until_a_few_days_ahead_have_partitions(
    writer: Writer, settings: Settings, query: Any, rows: Any
) -> None:
    ahead = settings.sink.days_ahead
    for offset in (-399, 0, ahead):
        writer.write(rows.batch(rows.message(day(offset), queue_id=f"D{offset}")), {})
        assert place_of(query, f"D{offset}") == f"delivery_from_{day(offset)[:10].replace('-', '')}"


def test_rows_from_the_future_move_when_their_day_comes(settings: Settings, query: Any, rows: Any) -> None:
    ahead = settings.sink.days_ahead
    early = Writer(settings)
    records = [make(day(ahead + 2)) for make in (rows.message, rows.delivery, rows.rejection, rows.session)]
    early.write(rows.batch(*records), {})
    assert place_of(query, "9D5CB98A3E3") == "delivery_from_later"
    early.close()

    sink = settings.sink.model_copy(update={"days_ahead": ahead + 2})
    later = Writer(settings.model_copy(update={"sink": sink}))
    later.write(rows.batch(*records), {})
    later.close()
    assert place_of(query, "9D5CB98A3E3") == f"delivery_from_{day(ahead + 2)[:10].replace('-', '')}"
    assert query("SELECT count(*) FROM delivery_to") == query("SELECT count(*) FROM noqueue") == [(1,)]
    assert query("SELECT tableoid::regclass::text FROM tls_sessions") == [
        (f"tls_sessions_{day(ahead + 2)[:10].replace('-', '')}",)
    ]


def test_two_sinks_make_the_same_partitions_at_once(settings: Settings, query: Any, rows: Any) -> None:
    def write(queue_id: str) -> None:
        writer = Writer(settings)
        writer.write(rows.batch(*(rows.message(day(-n), queue_id=queue_id) for n in range(20))), {})
        writer.close()

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(write, ["A", "B", "C"]))
    assert query("SELECT count(*) FROM delivery_from") == [(60,)]
    assert query("SELECT count(*) FROM delivery_from_later") == [(0,)]


def test_a_reader_that_holds_the_tables_does_not_hold_up_the_rows(settings: Settings, query: Any, rows: Any) -> None:
    reader = psycopg2.connect(**settings.database.connection_parameters())
    with reader.cursor() as cursor:  # as pg_dump does it, for hours
        cursor.execute("LOCK TABLE delivery_from, delivery_from_later IN ACCESS SHARE MODE")
        writer = Writer(settings)
        writer.write(rows.batch(rows.message(day(0))), {})
        assert query("SELECT count(*) FROM delivery_from") == [(1,)]
    reader.close()
    writer.close()
