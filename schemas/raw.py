"""What producers write: batches of raw log lines, the position of each source, and lines that were too large.

``postfix.raw`` is MessagePack, since log lines are bytes in any encoding or none; ``postfix.positions`` is JSON.
"""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from schemas.errors import UNREADABLE, BadRecordError

VERSION: Final = 1

# Bounds, so that nothing downstream meets a number that it cannot add to and write. To check them costs nothing here.
_Time = Annotated[int, Meta(ge=0, le=253_402_300_799_999_999)]
"""Microseconds since 1970, until the end of the year 9999."""
_Natural = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class RawLine(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One log line, its frame taken apart, its text untouched. On the wire: an array in this order."""

    time: _Time
    """When it was logged: microseconds since 1970-01-01 UTC; 0 where the line has no readable time."""
    program: str
    """Syslog identifier, e.g. ``postfix/submission/smtpd``; empty where the line has no syslog frame."""
    pid: _Natural
    """Process id; 0 where the line has none."""
    text: bytes
    """What follows the frame, byte for byte; the whole line where there is no frame."""
    number: _Natural = 0
    """How many identical lines of the same second came before it, so that two are two and one fed twice is one."""


class FilePosition(msgspec.Struct, frozen=True, kw_only=True, tag="file", omit_defaults=True):
    """How far a log file was read. Offsets count bytes of the file's text, decompressed where it is compressed."""

    path: str
    head_length: int
    """How many of the file's first bytes `head_digest` covers (fewer for a file shorter than that)."""
    head_digest: str
    """BLAKE2b-128 of those bytes: it knows the file again after a rename or compression."""
    offset: int
    """Where the next line begins."""
    anchor: int
    """Where reading begins again so as to number identical lines as before: lines before `offset` are not sent."""
    tail_length: int = 0
    """How many of the bytes before `offset` `tail_digest` covers; 0 for none."""
    tail_digest: str = ""
    """BLAKE2b-128 of those bytes: a file that lost its end in a crash, and grew again, is another one."""
    modified: int = 0
    """When the file was last written to, as far as it was read: microseconds since 1970; 0 where that is not known."""
    year: int = 0
    """Year of the last line, for timestamps that have none; 0 where lines tell it."""
    left: int = 0
    """Day (proleptic Gregorian ordinal) from which the year went up last, while lines may turn back to it; 0: none."""
    lines: int = 0
    """Lines read so far (these three run over all files of the source)."""
    ignored: int = 0
    """Of these, lines of other programs, which are not sent."""
    dead: int = 0
    """Of these, lines too large to be sent: dead letters."""


class JournalPosition(msgspec.Struct, frozen=True, kw_only=True, tag="journal", omit_defaults=True):
    """How far a systemd journal was read."""

    cursor: str
    """Cursor of the last entry that was sent."""
    anchor: str
    """Cursor of the entry at which numbering of identical lines begins again."""
    time: int
    """Realtime timestamp of the last entry, microseconds: the way back when the cursor is gone."""
    lines: int = 0
    ignored: int = 0
    dead: int = 0


class StreamPosition(msgspec.Struct, frozen=True, kw_only=True, tag="stdin", omit_defaults=True):
    """How many lines came from a pipe. It cannot be resumed; the record tells which host is alive."""

    lines: int = 0
    ignored: int = 0
    dead: int = 0


Position = FilePosition | JournalPosition | StreamPosition


class RawBatch(msgspec.Struct, frozen=True, kw_only=True):
    """Value of ``postfix.raw``: lines of one host whose keys fall into this partition, in log order."""

    version: int = VERSION
    host: str
    source: str
    """Key in ``postfix.positions``, e.g. ``mx1:file:/var/log/mail.log``."""
    position: Position
    """Position of the source after the batch's last line."""
    lines: list[RawLine]


class PositionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Value of ``postfix.positions`` (compacted, key: the source): how far a source was read and acknowledged."""

    version: int = VERSION
    source: str
    at: str
    """When it was written: RFC 3339, UTC."""
    position: Position


_encode_raw = msgspec.msgpack.Encoder().encode
_decode_raw = msgspec.msgpack.Decoder(RawBatch).decode
_decode_position = msgspec.json.Decoder(PositionRecord).decode


def encode_batch(batch: RawBatch) -> bytes:
    """Return the value of a ``postfix.raw`` record."""
    return _encode_raw(batch)


def decode_batch(value: bytes) -> RawBatch:
    """Read the value of a ``postfix.raw`` record.

    Raises BadRecordError for anything that is not a batch of a version known here.
    """
    try:
        batch = _decode_raw(value)
    except UNREADABLE as error:
        raise BadRecordError(f"not a batch of log lines: {error}") from error
    if batch.version > VERSION:
        raise BadRecordError(f"batch version {batch.version} is newer than {VERSION}: upgrade the stream stage")
    return batch


def decode_position(value: bytes) -> PositionRecord:
    """Read the value of a ``postfix.positions`` record. Raises BadRecordError."""
    try:
        return _decode_position(value)
    except UNREADABLE as error:
        raise BadRecordError(f"not a position: {error}") from error
