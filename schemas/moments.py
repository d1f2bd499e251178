"""Points in time as people type them: ``2h``, ``yesterday``, ``2026-11-23``, RFC 3339."""

import re
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

from schemas.errors import ConfigurationError

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_AGO: Final = re.compile(r"-?(\d{1,6}) ?([smhdw])")
_DAYS_BACK: Final = {"today": 0, "yesterday": 1}
_YEARS: Final = range(1970, 2200)
"""Before them there is no mail, and beyond the ends of the calendar no day or week to look at."""


def parse_time(text: str, *, now: datetime, zone: tzinfo | None = None) -> datetime:
    """Return the moment that *text* names, in UTC. Raises ConfigurationError.

    A number with s, m, h, d or w counts back from *now*; a time without an offset is of *zone* (None: this machine's);
    a date alone, ``today`` and ``yesterday`` stand for the midnight at which that day begins there.
    """
    words = text.strip()
    try:
        moment = _moment(words, now, zone)
        in_utc = moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ConfigurationError(
            f"cannot read the time {text!r}: give 2026-11-23, 2026-11-23T14:00, 2026-11-23T14:00:00Z, 90m, 2h, 3d, 1w, "
            "today, yesterday or now"
        ) from None
    if moment.year not in _YEARS:
        raise ConfigurationError(f"the time {text!r} is not in the years {_YEARS[0]} to {_YEARS[-1]}")
    return in_utc


def _moment(text: str, now: datetime, zone: tzinfo | None) -> datetime:
    word = text.lower()
    if word == "now":
        return now
    if word in _DAYS_BACK:
        day = now.astimezone(zone).date() - timedelta(days=_DAYS_BACK[word])
        return _in_zone(datetime(day.year, day.month, day.day), zone)  # noqa: DTZ001 - gets its zone there
    if ago := _AGO.fullmatch(word):
        return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    moment = datetime.fromisoformat(text)
    return _in_zone(moment, zone) if moment.tzinfo is None else moment


def _in_zone(moment: datetime, zone: tzinfo | None) -> datetime:
    return moment.replace(tzinfo=zone) if zone else moment.astimezone()
