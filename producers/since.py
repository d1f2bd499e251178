"""Points in time as people type them for ``--since``: ``2h``, ``yesterday``, ``2026-11-23``, RFC 3339."""

import re
from datetime import datetime, timedelta, tzinfo
from typing import Final

from schemas.errors import ConfigurationError

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_AGO: Final = re.compile(r"-?(\d{1,6}) ?([smhdw])")
_DAYS_BACK: Final = {"today": 0, "yesterday": 1}


def microseconds_of(text: str, *, now: datetime, zone: tzinfo | None) -> int:
    """Return the moment that *text* names, in microseconds since 1970. Raises ConfigurationError.

    A number with s, m, h, d or w counts back from *now*; a time without an offset is of *zone* (None: this machine's);
    a date alone, ``today`` and ``yesterday`` stand for the beginning of that day there.
    """
    try:
        return int(_moment(text.strip(), now.astimezone(zone), zone).timestamp() * 1_000_000)
    except (ValueError, OverflowError):
        raise ConfigurationError(
            f"cannot read the time {text!r}: give 2026-11-23, 2026-11-23T14:00, 2026-11-23T14:00:00Z, 90m, 2h, 3d, 1w, "
            "today, yesterday or now"
        ) from None


def _moment(text: str, now: datetime, zone: tzinfo | None) -> datetime:
    word = text.lower()
    if word == "now":
        return now
    if word in _DAYS_BACK:
        day = now - timedelta(days=_DAYS_BACK[word])
        return datetime(day.year, day.month, day.day, tzinfo=zone)
    if ago := _AGO.fullmatch(word):
        return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=zone) if moment.tzinfo is None else moment
