"""Which batches can be read: all that a producer writes, and none that the stream stage could not write about."""

from datetime import UTC, datetime

import pytest

from producers.clock import Clock
from schemas.errors import BadRecordError
from schemas.raw import RawBatch, RawLine, StreamPosition, decode_batch, encode_batch


def encoded(time: int = 0, pid: int = 0, number: int = 0) -> bytes:
    line = RawLine(time, "postfix/smtpd", pid, b"x", number)
    return encode_batch(RawBatch(host="mx1", source="s", position=StreamPosition(), lines=[line]))


@pytest.mark.parametrize(
    "number",
    [{"time": 2**64 - 1}, {"time": -(2**63)}, {"pid": 2**64 - 1}, {"pid": -1}, {"number": 2**64 - 1}, {"number": -1}],
    ids=str,
)
def test_a_number_that_is_none_makes_a_bad_record(number: dict[str, int]) -> None:
    with pytest.raises(BadRecordError, match="Expected `int`"):
        decode_batch(encoded(**number))


@pytest.mark.parametrize("stamp", [b"1971-01-01T00:00:00", b"2199-12-31T23:59:60"], ids=str)
def test_the_first_and_the_last_time_that_a_stamp_can_tell_are_read(stamp: bytes) -> None:
    time = Clock(UTC, now=datetime(2026, 11, 23, tzinfo=UTC)).at(stamp, b"-23:59" if stamp > b"2" else b"+23:59")
    assert time is not None
    assert decode_batch(encoded(time, 9_999_999_999, 100_000)).lines[0].time == time


def test_the_last_time_that_journald_takes_is_read() -> None:
    assert decode_batch(encoded(2**55)).lines[0].time == 2**55
