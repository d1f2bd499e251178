"""Read the time stamp that a line begins with, in any form in use, and bring it into one of two.

Traditional stamps (``Nov 27 16:19:22``) stay as they are, since neither year nor zone is known; all others become
``2026-11-27T16:19:22`` with a fraction and a zone, where they name them.
"""

import re
from datetime import UTC, datetime
from typing import Final, NamedTuple

_MONTHS: Final = {
    name: b"%02d" % number
    for number, name in enumerate(
        (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"), 1
    )
}
_WEEKDAY = rb"(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),?[ \t]+)?"
_TIME = rb"(\d\d:\d\d:\d\d)(?:[.,](\d{1,9}))?"
_ZONE = rb"(?:[ \t]?(Z|UTC|GMT|[+-]\d\d(?::?\d\d)?)(?![^ \t]))?"

_with_month = re.compile(
    _WEEKDAY + rb"(?:(\d{4})[ \t]+)?([A-Z][a-z]{2})[ \t]+([ 0-3]?\d),?[ \t]+(?:(\d{4}),?[ \t]+)?"
    + _TIME + _ZONE + rb"(?:[ \t]+(\d{4})(?![^ \t]))?"
).match  # fmt: skip
"""``Nov 27 16:19:22``; with a weekday, the year (before, in the middle, or as ctime has it), a fraction, a zone."""
_of_numbers = re.compile(
    rb"("
    + _WEEKDAY
    + rb")(\d{4})[-/](\d\d)[-/](\d\d)(?:T|[ \t]+)"
    + _TIME
    + _ZONE
    + rb"(?:[ \t]([A-Z]{2,5})(?=[ \t]))?"
).match
"""RFC 3339, perhaps with a blank instead of the T; ``journalctl -o short-full`` (``Fri 2026-11-27 16:19:22 CET``)."""
_since_1970 = re.compile(rb"(\d{9,10})(?:\.(\d{1,9}))?(?=[ \t])").match
"""``journalctl -o short-unix``."""
_since_start = re.compile(rb"\[[ \t]*\d{1,10}\.\d{1,9}\](?=[ \t])").match
"""``journalctl -o short-monotonic``: says nothing of the time of day."""


class Stamp(NamedTuple):
    """A time stamp, and where it ends."""

    second: bytes
    """``Nov 27 16:19:22`` or ``2026-11-27T16:19:22``; empty where it tells no time of day."""
    fraction: bytes
    """Digits of the second's fraction, perhaps none."""
    zone: bytes
    """``Z``, an offset like ``+0100``, or empty: local time."""
    end: int


def stamp_of(line: bytes, start: int = 0) -> Stamp | None:
    """Return the time stamp at *start*, None if there is none."""
    found = _with_month(line, start)
    if found is not None:
        return _dated(found)
    found = _of_numbers(line, start)
    if found is not None:
        weekday, year, month, day, time, fraction, zone, name = found.groups(b"")
        end = found.end()
        if name and not weekday:  # it is the host
            end = found.start(8) - 1
        return Stamp(b"%s-%s-%sT%s" % (year, month, day, time), fraction, _zone(zone), end)
    found = _since_1970(line, start)
    if found is not None:
        second, fraction = found.groups(b"")
        return Stamp(second_of(int(second)), fraction, b"Z", found.end())
    found = _since_start(line, start)
    return None if found is None else Stamp(b"", b"", b"", found.end())


def second_of(seconds: int) -> bytes:
    """Return the form of a stamp for *seconds* since 1970, less than 2**34 of them."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S").encode()


def _dated(found: re.Match[bytes]) -> Stamp:
    first_year, month, day, middle_year, time, fraction, zone, last_year = found.groups(b"")
    day = day.strip()
    year, number = first_year or middle_year or last_year, _MONTHS.get(month)
    if year and number is not None:
        return Stamp(b"%s-%s-%sT%s" % (year, number, day.rjust(2, b"0"), time), fraction, _zone(zone), found.end())
    return Stamp(b"%s %s %s" % (month, day.rjust(2), time), fraction, _zone(zone), found.end())


def _zone(zone: bytes) -> bytes:
    if zone[:1] in {b"+", b"-"}:
        return zone + b"00" if len(zone) == len(b"+01") else zone
    return b"Z" if zone else b""
