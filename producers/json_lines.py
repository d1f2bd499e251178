"""Lines that are JSON objects: those of Docker's ``json-file`` driver, and of ``journalctl -o json``."""

from typing import Final, NamedTuple

import msgspec

from producers.origins import MOST_HOST, MOST_PROGRAM
from producers.stamps import second_of
from schemas.errors import UNREADABLE
from schemas.timestamps import MICROSECONDS

_YEAR_2500: Final = 16_725_225_600 * MICROSECONDS


class _Object(msgspec.Struct):
    """What is read of an object; anything else in it is left out."""

    log: str = ""
    time: str = ""
    message: str | list[int] | None = msgspec.field(name="MESSAGE", default=None)
    identifier: str = msgspec.field(name="SYSLOG_IDENTIFIER", default="")
    host: str = msgspec.field(name="_HOSTNAME", default="")
    pid: str = msgspec.field(name="_PID", default="")
    syslog_pid: str = msgspec.field(name="SYSLOG_PID", default="")
    realtime: str = msgspec.field(name="__REALTIME_TIMESTAMP", default="")


class Logged(NamedTuple):
    """A line that a container wrote."""

    stamp: bytes
    """When the container engine got it: RFC 3339."""
    line: bytes


class Entry(NamedTuple):
    """An entry of the systemd journal; what it lacks is empty."""

    stamp: bytes
    """Whole seconds, UTC."""
    fraction: bytes
    host: bytes
    program: bytes
    process: bytes
    text: bytes


_decode = msgspec.json.Decoder(_Object).decode


def object_of(line: bytes) -> Logged | Entry | None:
    """Return what the JSON object *line* says, None where it is neither form."""
    try:
        found = _decode(line)
    except UNREADABLE:
        return None
    if found.log:
        return Logged(_bytes(found.time), _bytes(found.log).rstrip(b"\r\n"))
    if found.message is None:
        return None
    text = _bytes(found.message) if isinstance(found.message, str) else _joined(found.message)
    stamp = fraction = b""
    if found.realtime.isascii() and found.realtime.isdecimal() and len(found.realtime) <= len(str(_YEAR_2500)):
        seconds, micros = divmod(min(int(found.realtime), _YEAR_2500), MICROSECONDS)
        stamp, fraction = second_of(seconds), b"%06d" % micros
    process = found.pid or found.syslog_pid
    host, program = _bytes(found.host)[:MOST_HOST], _bytes(found.identifier)[:MOST_PROGRAM]
    return Entry(stamp, fraction, host, program, _bytes(process), text)


def _joined(numbers: list[int]) -> bytes:
    """Return the bytes of a text that is not UTF-8; ``journalctl`` writes it as numbers."""
    return bytes(number & 0xFF for number in numbers)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")
