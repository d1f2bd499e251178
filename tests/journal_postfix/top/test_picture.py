"""A picture is made of what could be looked at; rates are those between looks."""

from datetime import UTC, datetime
from typing import Any

from journal_postfix.line_counts import LineCounts
from journal_postfix.top.picture import DatabaseLook, KafkaLook, Looks, PartitionLag

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def kafka(at: float, parsed: int = 0, **known: Any) -> KafkaLook:
    ends = {("raw", 0): 10, ("raw", 1): 5, ("delivery-to", 0): 100, ("noqueue", 0): 7, ("delivery-to", 1): 3}
    return KafkaLook(
        **{
            "at": at, "counts": LineCounts(parsed=parsed, ignored={"connection": 2 * parsed}), "in_flight": 4,
            "raw": "raw", "read": {("raw", 0): 8, ("raw", 1): 5}, "ends": ends,
        } | known
    )  # fmt: skip


def database(at: float, messages: int = 0, rows: int = 0, **known: Any) -> DatabaseLook:
    stored = {("delivery-to", 0): 90, ("noqueue", 0): 7, ("delivery-to", 1): 3}
    return DatabaseLook(**{"at": at, "stored": stored, "messages": messages, "rows": rows, "deferring": []} | known)


def test_lag_is_what_lies_between_positions_and_ends_of_all_topics_of_a_partition() -> None:
    looks = Looks()
    looks.take(kafka(1))
    looks.take(database(1))
    assert looks.picture(NOW).lags == [PartitionLag(0, 2, 10), PartitionLag(1, 0, 0)]


def test_a_partition_that_was_never_read_or_stored_is_behind_by_all_of_it() -> None:
    looks = Looks()
    looks.take(kafka(1, read={}))
    looks.take(database(1, stored={}))
    assert looks.picture(NOW).lags == [PartitionLag(0, 10, 107), PartitionLag(1, 5, 3)]


def test_rates_take_two_looks() -> None:
    looks = Looks()
    looks.take(kafka(1, parsed=100))
    looks.take(database(1, 10, 20))
    assert looks.picture(NOW).lines_per_second is None
    assert looks.picture(NOW).messages_per_second is None
    looks.take(kafka(3, parsed=300))
    looks.take(database(3, 40, 30))
    picture = looks.picture(NOW)
    assert picture.lines_per_second == {"parsed": 100.0, "unparsed": 0.0, "connection": 200.0}
    assert (picture.messages_per_second, picture.rows_per_second) == (15.0, 5.0)


def test_rates_are_of_the_last_ten_seconds_and_never_less_than_nothing() -> None:
    looks = Looks()
    for second in range(60):
        looks.take(database(float(second), messages=0 if second < 40 else 10 * (second - 40)))
    assert looks.picture(NOW).messages_per_second == 10.0
    looks.take(database(60.0, messages=0))  # the database's statistics were reset
    assert looks.picture(NOW).messages_per_second == 0.0


def test_without_postgresql_the_rest_is_there() -> None:
    looks = Looks()
    looks.take(kafka(1))
    looks.lose("database", "it does not answer")
    picture = looks.picture(NOW)
    assert (picture.kafka, picture.database) == (None, "it does not answer")
    assert picture.lags == [PartitionLag(0, 2, None), PartitionLag(1, 0, None)]
    assert picture.deferring is None


def test_without_kafka_too_and_it_may_come_back() -> None:
    looks = Looks({"database"})
    assert looks.picture(NOW).kafka == "not configured"
    looks.take(database(1))
    looks.lose("kafka", "gone")
    picture = looks.picture(NOW)
    assert (picture.kafka, picture.in_flight, picture.lags, picture.deferring) == ("gone", None, [], [])
    looks.take(kafka(2))
    assert looks.picture(NOW).kafka is None
    assert looks.picture(NOW).lines_per_second is None  # not since before it was gone
