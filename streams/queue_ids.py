"""What a queue id tells of itself (``src/global/mail_queue.h``): a long one carries the time at which it was made."""

from typing import Final

from schemas.keys import LONG_ID_DIGITS
from schemas.timestamps import MICROSECONDS

_VALUE: Final = {digit: value for value, digit in enumerate(LONG_ID_DIGITS)}
_MICROSECOND_DIGITS: Final = 4
_MOST_SECONDS: Final = 253_402_300_799


def arrival_of(queue_id: str) -> int | None:
    """Return when the message of a long queue id arrived, microseconds since 1970; None for a short id."""
    end = queue_id.rfind("z")
    if end <= _MICROSECOND_DIGITS:
        return None
    seconds = microseconds = 0
    try:
        for digit in queue_id[: end - _MICROSECOND_DIGITS]:
            seconds = seconds * 52 + _VALUE[digit]
        for digit in queue_id[end - _MICROSECOND_DIGITS : end]:
            microseconds = microseconds * 52 + _VALUE[digit]
    except KeyError:
        return None
    if seconds > _MOST_SECONDS or microseconds >= MICROSECONDS:
        return None
    return seconds * MICROSECONDS + microseconds
