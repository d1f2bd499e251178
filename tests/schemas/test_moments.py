import time
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from schemas.errors import ConfigurationError
from schemas.moments import parse_time

NOW = datetime(2026, 11, 23, 14, 30, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", "2026-11-23T14:30:00+00:00"),
        ("45s", "2026-11-23T14:29:15+00:00"),
        ("90m", "2026-11-23T13:00:00+00:00"),
        ("2h", "2026-11-23T12:30:00+00:00"),
        ("-90m", "2026-11-23T13:00:00+00:00"),
        ("2 H", "2026-11-23T12:30:00+00:00"),
        ("3d", "2026-11-20T14:30:00+00:00"),
        ("1w", "2026-11-16T14:30:00+00:00"),
        ("today", "2026-11-22T23:00:00+00:00"),
        ("Yesterday", "2026-11-21T23:00:00+00:00"),
        ("2026-11-23", "2026-11-22T23:00:00+00:00"),
        ("2026-07-01", "2026-06-30T22:00:00+00:00"),
        ("2026-11-23T14:00", "2026-11-23T13:00:00+00:00"),
        ("2026-11-23 14:00:01", "2026-11-23T13:00:01+00:00"),
        ("2026-11-23T14:00:00Z", "2026-11-23T14:00:00+00:00"),
        ("2026-11-23T14:00:00.123456-05:00", "2026-11-23T19:00:00.123456+00:00"),
        (" 2026-11-23T14:00:00Z ", "2026-11-23T14:00:00+00:00"),
        ("1970-01-01", "1969-12-31T23:00:00+00:00"),
    ],
)
def test_a_time_is_read_as_people_type_it(text: str, expected: str) -> None:
    assert parse_time(text, now=NOW, zone=BERLIN) == datetime.fromisoformat(expected)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "h",
        "2y",
        "2h30m",
        "9999999h",
        "999999w",
        "tomorrow",
        "2026-13-01",
        "2026-02-30",
        "soon",
        "0001-01-01",
        "9999-12-31T23:59-10:00",
    ],
)
def test_what_is_no_time_is_refused_with_the_forms_that_are(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot read the time .*yesterday"):
        parse_time(text, now=NOW, zone=BERLIN)


@pytest.mark.parametrize("text", ["0001-01-03", "1969-12-31", "2200-01-02", "9999-12-31", "99999d"])
def test_a_time_that_no_mail_can_have_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match=f"'{text}' is not in the years 1970 to 2199"):
        parse_time(text, now=NOW, zone=BERLIN)


def test_without_a_zone_a_time_is_this_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        assert parse_time("2026-11-23", now=NOW) == datetime(2026, 11, 23, 5, tzinfo=UTC)
    finally:
        monkeypatch.undo()
        time.tzset()
