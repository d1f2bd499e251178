"""How a producer tells ``up`` how far it is: a JSON line on stdout now and then, and one at its end."""

import msgspec


class Reading(msgspec.Struct, frozen=True, tag="reading"):
    """How far a producer has read."""

    lines: int
    bytes_done: int = 0
    bytes_total: int | None = None
    """None where the end is not known."""


class Read(msgspec.Struct, frozen=True, tag="read"):
    """What a producer has done, once it is finished."""

    lines: int
    sent: int
    ignored: int
    """Lines of other programs: read, not sent."""
    dead: int
    """Lines that were too large: dead letters."""
    skipped: int
    """Lines that an earlier run had read."""
    seconds: float


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Reading | Read).decode


def to_line(report: Reading | Read) -> str:
    """Return the report as a line without its end."""
    return _encode(report).decode()


def from_line(line: str) -> Reading | Read | None:
    """Return the report that *line* is; None for any other line."""
    try:
        report: Reading | Read = _decode(line)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return None
    return report
