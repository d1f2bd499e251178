"""Times on the wire: RFC 3339 in UTC with six digits, so that their text sorts as they do."""

from datetime import UTC, datetime
from functools import lru_cache

MICROSECONDS = 1_000_000

_LAST = 253_402_300_799_999_999


@lru_cache(maxsize=4096)  # a log's lines share few seconds
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.")


def to_text(microseconds: int) -> str:
    """Return e.g. ``2026-11-23T06:28:35.000000Z`` for microseconds since 1970.

    A time outside the years 1970 to 9999 is moved to the nearer end: it is a log's claim, not ours.
    """
    if not 0 <= microseconds <= _LAST:
        microseconds = 0 if microseconds < 0 else _LAST
    seconds, rest = divmod(microseconds, MICROSECONDS)
    return f"{_second(seconds)}{rest:06d}Z"


def to_microseconds(text: str) -> int:
    """Return the microseconds since 1970 of an RFC 3339 time. Raises ValueError."""
    delta = datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86400 + delta.seconds) * MICROSECONDS + delta.microseconds
