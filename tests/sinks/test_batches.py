"""Records become rows: times in one form, versions merged, what can't be read refused."""

from typing import Any

import pytest

from schemas.deliveries import encode_record
from schemas.errors import BadRecordError
from schemas.topics import Topics
from sinks.batches import Batch


@pytest.mark.parametrize(
    "spelling",
    [
        "2026-11-22T06:00:00Z",
        "2026-11-22T06:00:00.000Z",
        "2026-11-22T07:00:00.000000+01:00",
        "20261122T060000Z",
    ],
)
def test_a_time_in_another_spelling_names_the_same_row(rows: Any, spelling: str) -> None:
    batch = rows.batch(rows.message(sender="a@x.test"), rows.message(spelling, size=7))
    [message] = batch.messages.values()
    assert (message.arrived_at, message.sender, message.size) == ("2026-11-22T06:00:00.000000Z", "a@x.test", 7)
    assert batch.days() == {"2026-11-22"}


def test_times_of_an_attempt_are_brought_to_one_form(rows: Any) -> None:
    batch = rows.batch(rows.delivery(last_attempt_at="2026-11-22T06:00:01Z", first_attempt_at="2026-11-22T06:00:01Z"))
    [delivery] = batch.deliveries.values()
    assert delivery.last_attempt_at == delivery.first_attempt_at == "2026-11-22T06:00:01.000000Z"


def test_a_session_is_one_row_however_its_time_is_spelled_and_the_newer_parser_counts(rows: Any) -> None:
    batch = rows.batch(
        rows.session(parser=1, trust="untrusted"),
        rows.session("2026-11-22T07:00:00+01:00", parser=2, trust="trusted"),
        rows.session(parser=1, trust="verified"),
    )
    [session] = batch.sessions.values()
    assert (session.at, session.trust) == ("2026-11-22T06:00:00.000000Z", "trusted")
    assert len(batch) == 1
    assert batch.days() == {"2026-11-22"}


@pytest.mark.parametrize(
    "time", ["", "yesterday", "2026-11-22", "2026-11-22T06:00:00", "2026-02-30T06:00:00.000000Z", "24:00"]
)
def test_what_is_no_moment_is_refused(rows: Any, time: str) -> None:
    for record in (rows.message(time), rows.message(queued_at=time), rows.delivery(last_attempt_at=time),
                   rows.rejection(time), rows.session(time)):  # fmt: skip
        with pytest.raises(BadRecordError, match="time"):
            rows.batch(record)


@pytest.mark.parametrize("value", [b"", b"{}", b"[]", b"\xff", b'{"version": 2}', b"null", b"1e999"])
def test_what_is_no_record_is_refused(topics: Topics, value: bytes) -> None:
    for topic in topics.outputs():
        with pytest.raises(BadRecordError):
            Batch().add(topics, topic.name, b"", value)


def test_a_newer_version_of_a_record_asks_for_an_upgrade(rows: Any, topics: Topics) -> None:
    with pytest.raises(BadRecordError, match="upgrade"):
        Batch().add(topics, topics.delivery_from.name, b"", encode_record(rows.message(version=2)))


@pytest.mark.parametrize("key", [b"", b"{}", b'["mx1"]', b'["mx1", "A", "never"]', b"\xff"])
def test_a_tombstone_of_no_row_is_refused(topics: Topics, key: bytes) -> None:
    with pytest.raises(BadRecordError):
        Batch().add(topics, topics.delivery_from.name, key, None)
