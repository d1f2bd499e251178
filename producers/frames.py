"""Take the frame off a log line: time stamp, host, program, process id. Bytes in, bytes out, nothing raised.

The forms that whole files are written in are cut out of a block of lines by one compiled pattern (`rows_of`); what it
leaves over, line by line, by `frame_of`. Forms: traditional (``Nov 27 16:19:22 HOST PROGRAM[PID]: TEXT``), RFC 3339
stamps instead, RFC 5424, each with or without ``<PRI>``; FreeBSD's ``<mail.info>`` and Solaris' ``[ID n mail.info]``.
"""

import re
from typing import NamedTuple

from schemas.keys import QUEUE_ID

LONGEST_FAST = 4000
"""Bytes of text above which a line is left to `frame_of`."""

MOST_REPEATS = 10_000
"""A line that claims more repetitions is taken as it stands."""

_VISIBLE = rb"[!-~\x80-\xff]"
_STAMP = (
    rb"([A-Z][a-z][a-z] [ 0-3]\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)"
    rb"(?:[.,](\d{1,9}))?(Z|[+-]\d\d:?\d\d)?"
)
_HOST = rb"[!-Z\\^-~\x80-\xff]{1,255}"  # visible, but no bracket: that is a process id, and the host is left out
_PROGRAM = rb"[!-9;-Z\\^-~\x80-\xff]{1,128}"  # visible, but no colon and no bracket
_TAG = _PROGRAM + rb"(?:\[\d{1,10}\])?"
_APPLICATION = _VISIBLE + rb"{1,128}"
_PROCESS = _VISIBLE + rb"{1,128}"
_DATA = rb'(?:-|(?:\[(?:[^"\]\n]++|"(?:[^"\\\n]++|\\[^\n])*+")*+\])++)'  # RFC 5424, structured data
_SEVERITY = rb"(?:(?:warning|error|fatal|panic): )?"  # as schemas.keys.queue_id_of has it
_TEXT = (
    rb"((?!message repeated |\[ID )" + _SEVERITY + rb"(?:(" + QUEUE_ID.encode() + rb"): )?[^\r\n]{0,%d})" % LONGEST_FAST
)


def _rows(framed: bytes) -> re.Pattern[bytes]:
    return re.compile(rb"((?:<\d{1,3}>)?" + framed + rb"\r?|[^\n]*)\n")


_traditional_rows = _rows(_STAMP + rb" (" + _HOST + rb" " + _TAG + rb"): " + _TEXT).findall
_rfc5424_rows = _rows(
    rb"1 " + _STAMP + rb" (" + _HOST + rb" " + _APPLICATION + rb" " + _PROCESS + rb") " + _APPLICATION + rb" " + _DATA
    + rb" {1,2}(?![ \xef])" + _TEXT
).findall  # fmt: skip
_looks_rfc5424 = re.compile(rb"(?:<\d{1,3}>)?1 [\d-]").match

_traditional = re.compile(rb"(?:<\d{1,3}>)?" + _STAMP + rb" (?:<[a-z0-9]+\.[a-z]+> )?(.*)", re.DOTALL).fullmatch
_host = re.compile(rb"(" + _HOST + rb") ").match
_tag = re.compile(rb"(" + _PROGRAM + rb")(?:\[([^\[\]\s]{0,64})\])?:(?: |\Z)").match
_solaris_id = re.compile(rb"\[ID \d{1,10} [a-z0-9]+\.[a-z]+\] ").match
_rfc5424 = re.compile(
    rb"(?:<\d{1,3}>)?1 (?:-|" + _STAMP + rb") (" + _HOST + rb") (" + _APPLICATION + rb") (" + _PROCESS + rb") "
    + _APPLICATION + rb" " + _DATA + rb"(?: +(?:\xef\xbb\xbf)?(.*))?",
    re.DOTALL,
).fullmatch  # fmt: skip
_repeated = re.compile(rb"message repeated (\d{1,9}) times: \[ ?(.*)\]", re.DOTALL).fullmatch


Row = tuple[bytes, bytes, bytes, bytes, bytes, bytes, bytes]
"""A line without its newline; then, empty where `frame_of` has to look: stamp, digits of the fraction, zone, origin
(see `origin_of`), text, and the queue id that the text begins with."""


class Frame(NamedTuple):
    """A line taken apart."""

    stamp: bytes
    """``Nov 27 16:19:22`` or ``2026-11-27T16:19:22``; empty where the line has none."""
    fraction: bytes
    """Digits of the second's fraction, perhaps none."""
    zone: bytes
    """``Z``, an offset like ``+0100``, or empty: local time."""
    host: bytes
    """Empty where the line has none."""
    program: bytes
    pid: int
    text: bytes
    """Without the line's end; the whole line where it has no program."""
    times: int = 1
    """How many lines this one stands for."""


def rows_of(block: bytes) -> list[Row]:
    """Cut a block of whole lines, each with its newline, into rows: one for each line, in order."""
    return _rfc5424_rows(block) if _looks_rfc5424(block) else _traditional_rows(block)


def origin_of(origin: bytes) -> tuple[bytes, bytes, int]:
    """Return host, program and process id of a row's origin: ``HOST PROGRAM[PID]`` or ``HOST PROGRAM PID``."""
    host, _, rest = origin.partition(b" ")
    program, space, process = rest.partition(b" ")
    if space:
        return _given(host), _given(program), _pid(process)
    if program.endswith(b"]"):
        program, _, process = program[:-1].partition(b"[")
    return host, program, _pid(process)


def frame_of(line: bytes) -> Frame | None:
    """Take one line (without newline) apart; None where it has no frame known here."""
    line = line.removesuffix(b"\r")
    found = _traditional(line)
    if found is not None:
        stamp, fraction, zone, rest = found.groups(b"")
        named = _host(rest)
        host = b"" if named is None else named[1]
        tag = _tag(rest, 0 if named is None else named.end())
        if tag is None:
            return Frame(stamp, fraction, zone, host, b"", 0, line)
        program, process = tag.groups(b"")
        text = rest[tag.end() :]
        solaris = _solaris_id(text)
        if solaris is not None:
            text = text[solaris.end() :]
        return _unfolded(Frame(stamp, fraction, zone, host, program, _pid(process), text))
    found = _rfc5424(line)
    if found is not None:
        stamp, fraction, zone, host, program, process, text = found.groups(b"")
        return _unfolded(Frame(stamp, fraction, zone, _given(host), _given(program), _pid(process), text))
    return None


def _unfolded(frame: Frame) -> Frame:
    repeated = _repeated(frame.text)
    if repeated is None or not 0 < int(repeated[1]) <= MOST_REPEATS:
        return frame
    return frame._replace(text=repeated[2], times=int(repeated[1]))


def _given(name: bytes) -> bytes:
    return b"" if name == b"-" else name


def _pid(process: bytes) -> int:
    return int(process) if process.isdigit() and len(process) <= 10 else 0  # noqa: PLR2004 - ten digits hold 32 bits
