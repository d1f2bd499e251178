"""Times of stamps: years that are not said, zones, and hours that happen twice or never."""

from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

import pytest

from producers.clock import Clock

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def times(stamps: list[str], *, zone: tzinfo = UTC, now: datetime = NOW, year: int = 0) -> list[str | None]:
    clock = Clock(zone, now=now, year=year)
    found = [clock.at(stamp.encode(), b"") for stamp in stamps]
    return [None if t is None else f"{datetime.fromtimestamp(t / 1_000_000, UTC):%Y-%m-%d %H:%M:%S}" for t in found]


CASES: dict[str, tuple[dict[str, object], list[tuple[str, str | None]]]] = {
    "the year is the one that does not lie in the future": (
        {},
        [("Nov 23 11:00:00", "2026-11-23 11:00:00")],
    ),
    "a month to come is last year's": ({}, [("Dec  1 00:00:00", "2025-12-01 00:00:00")]),
    "a log may run ahead of this machine a little": ({}, [("Nov 24 11:00:00", "2026-11-24 11:00:00")]),
    "in the first minutes of a year too": (
        {"now": datetime(2026, 12, 31, 23, 59, tzinfo=UTC)},
        [("Jan  1 00:00:10", "2027-01-01 00:00:10")],
    ),
    "29 February is of the latest year that had it": ({}, [("Feb 29 00:00:00", "2024-02-29 00:00:00")]),
    "a given year is that of the first stamp, and goes up from December to January": (
        {"year": 2019},
        [("Dec 31 23:59:59", "2019-12-31 23:59:59"), ("Jan  1 00:00:00", "2020-01-01 00:00:00")],
    ),
    "it goes up again and again": (
        {"year": 2019},
        [
            ("Dec  1 00:00:00", "2019-12-01 00:00:00"),
            ("Feb  1 00:00:00", "2020-02-01 00:00:00"),
            ("Nov  1 00:00:00", "2020-11-01 00:00:00"),
            ("Jan  1 00:00:00", "2021-01-01 00:00:00"),
            ("Jan  1 00:00:00", "2021-01-01 00:00:00"),
        ],
    ),
    "a line of the old year that comes late does not move the year": (
        {"year": 2019},
        [
            ("Dec 31 23:59:59", "2019-12-31 23:59:59"),
            ("Jan  1 00:00:00", "2020-01-01 00:00:00"),
            ("Dec 31 23:59:59", "2019-12-31 23:59:59"),
            ("Jan  1 00:00:01", "2020-01-01 00:00:01"),
        ],
    ),
    "a machine that had not been told the time yet does not move the year": (
        {"year": 2026},
        [
            ("Nov 23 06:00:00", "2026-11-23 06:00:00"),
            ("Jan  1 00:00:12", "2027-01-01 00:00:12"),
            ("Nov 23 06:00:01", "2026-11-23 06:00:01"),
            ("Jan  1 00:00:12", "2027-01-01 00:00:12"),
            ("Nov 24 06:00:02", "2026-11-24 06:00:02"),
            ("Dec 31 23:00:00", "2026-12-31 23:00:00"),
            ("Jan  1 00:00:00", "2027-01-01 00:00:00"),
            ("Mar 15 00:00:00", "2027-03-15 00:00:00"),
        ],
    ),
    "a log that says nothing for weeks after New Year lives on all the same": (
        {"year": 2027},
        [
            ("Dec 31 23:59:59", "2027-12-31 23:59:59"),
            ("Jan  1 00:00:00", "2028-01-01 00:00:00"),
            ("Feb 29 00:00:00", "2028-02-29 00:00:00"),
            ("Nov 30 00:00:00", "2028-11-30 00:00:00"),
        ],
    ),
    "a small jump back is no new year": (
        {"year": 2020},
        [
            ("Jun  2 00:00:05", "2020-06-02 00:00:05"),
            ("Jun  2 00:00:03", "2020-06-02 00:00:03"),
            ("May 20 00:00:00", "2020-05-20 00:00:00"),
        ],
    ),
    "the same minute a year later is another": (
        {"year": 2019},
        [
            ("Jan  1 00:00:00", "2019-01-01 00:00:00"),
            ("Jul  1 00:00:00", "2019-07-01 00:00:00"),
            ("Dec 31 00:00:00", "2019-12-31 00:00:00"),
            ("Jan  1 00:00:00", "2020-01-01 00:00:00"),
        ],
    ),
    "summer and winter time of the zone": (
        {"zone": BERLIN},
        [("Jan 15 12:00:00", "2026-01-15 11:00:00"), ("Jul 15 12:00:00", "2026-07-15 10:00:00")],
    ),
    "the hour that happens twice is told apart by the order": (
        {"zone": BERLIN},
        [
            ("Oct 25 01:59:59", "2026-10-24 23:59:59"),
            ("Oct 25 02:00:00", "2026-10-25 00:00:00"),
            ("Oct 25 02:59:59", "2026-10-25 00:59:59"),
            ("Oct 25 02:59:58", "2026-10-25 00:59:58"),
            ("Oct 25 02:00:01", "2026-10-25 01:00:01"),
            ("Oct 25 02:30:00", "2026-10-25 01:30:00"),
            ("Oct 25 02:59:59", "2026-10-25 01:59:59"),
            ("Oct 25 03:00:00", "2026-10-25 02:00:00"),
        ],
    ),
    "an hour that never happened is read as winter time": (
        {"zone": BERLIN},
        [
            ("Mar 29 01:59:59", "2026-03-29 00:59:59"),
            ("Mar 29 02:30:00", "2026-03-29 01:30:00"),
            ("Mar 29 03:00:00", "2026-03-29 01:00:00"),
        ],
    ),
    "a leap second": ({"year": 2016}, [("Dec 31 23:59:60", "2017-01-01 00:00:00")]),
    "no time at all": (
        {},
        [("Xyz 31 23:59:59", None), ("Nov 31 00:00:00", None), ("Nov  1 25:00:00", None), ("Nov  1 00:00:75", None)],
    ),
    "ISO stamps without zone": ({"zone": BERLIN}, [("2026-07-15T12:00:00", "2026-07-15 10:00:00")]),
    "years of no mail log": ({}, [("0000-07-15T12:00:00", None), ("9999-12-31T23:59:59", None)]),
}


@pytest.mark.parametrize("name", CASES)
def test_stamps_become_times(name: str) -> None:
    options, expected = CASES[name]

    assert times([stamp for stamp, _ in expected], **options) == [time for _, time in expected]  # type: ignore[arg-type]


@pytest.mark.parametrize(("zone", "hour"), [(b"Z", 12), (b"+01:00", 11), (b"+0100", 11), (b"-0530", 17)])
def test_an_offset_is_taken_as_it_stands(zone: bytes, hour: int) -> None:
    time = Clock(BERLIN, now=NOW).at(b"2026-11-23T12:00:00", zone)

    assert time is not None
    assert datetime.fromtimestamp(time / 1_000_000, UTC).hour == hour


def test_an_offset_beyond_a_day_is_no_time() -> None:
    assert Clock(UTC, now=NOW).at(b"2026-11-23T12:00:00", b"+99:00") is None


def test_a_clock_that_takes_over_turns_back_to_the_same_day() -> None:
    first = Clock(UTC, now=NOW, year=2026)
    for stamp in (b"Nov 23 06:00:00", b"Jan  1 00:00:12"):
        first.at(stamp, b"")

    second = Clock(UTC, now=NOW, year=first.year, left=first.left)
    second.at(b"Jan  1 00:00:12", b"")

    assert second.at(b"Nov 23 06:00:01", b"") == first.at(b"Nov 23 06:00:01", b"")
    assert second.year == first.year == 2026


def test_a_stamp_with_a_zone_may_lack_the_year() -> None:
    clock = Clock(ZoneInfo("Europe/Berlin"), now=NOW)

    assert clock.at(b"Nov 23 06:28:35", b"Z") == 1_795_415_315_000_000
    assert clock.at(b"Nov 23 07:28:35", b"+0100") == 1_795_415_315_000_000
