"""Take the frame off a log line: time stamp, host, program, process id. Bytes in, bytes out, nothing raised.

The forms that whole files are written in are cut out of a block of lines by one compiled pattern (`rows_of`); what it
leaves over, line by line, by `frame_of`, which knows many more:

- a stamp in any form of `producers.stamps`, then ``HOST PROGRAM[PID]: TEXT``; the host may be missing, or be followed
  (FreeBSD: preceded) by facility and severity (``mail.info``, ``<mail.info>``; ``INFO`` where a container logs);
- RFC 5424; each with or without ``<PRI>``, and Solaris' ``[ID n mail.info]`` before the text;
- what containers and tools put around such a line: see `producers.wrappings`, `producers.json_lines`;
- no stamp at all, where the line is plainly Postfix's: ``postfix/smtpd[42]: TEXT``.
"""

import re
from typing import NamedTuple

from producers.json_lines import Entry, Logged, object_of
from producers.relevance import DAEMONS
from producers.stamps import Stamp, stamp_of
from producers.wrappings import unwrapped
from schemas.keys import QUEUE_ID

LONGEST_FAST = 4000
"""Bytes of text above which a line is left to `frame_of`."""

MOST_REPEATS = 10_000
"""A line that claims more repetitions stands for as many."""

_VISIBLE = rb"[!-~\x80-\xff]"
_STAMP = (
    rb"([A-Z][a-z][a-z] [ 0-3]\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)"
    rb"(?:[.,](\d{1,9}))?(Z|[+-]\d\d:?\d\d)?"
)
_FACILITY = (
    rb"(?:\d{1,2}|kern|user|mail|daemon|auth|syslog|lpr|news|uucp|cron|authpriv|security|ftp|ntp|console|local[0-7])[.:]"
    rb"(?:\d{1,2}|emerg|panic|alert|crit|err|error|warn|warning|notice|info|debug)"
)
_LEVEL = rb"(?:EMERG|PANIC|ALERT|CRIT|CRITICAL|FATAL|ERR|ERROR|WARN|WARNING|NOTICE|INFO|DEBUG)"
_HOST = rb"[!-Z\\^-~\x80-\xff]{1,255}"  # visible, but no bracket: that is a process id, and the host is left out
_PROGRAM = rb"[!-9;-Z\\^-~\x80-\xff]{1,128}"  # visible, but no colon and no bracket
_TAG = _PROGRAM + rb"(?:\[\d{1,10}\])?"
_APPLICATION = _VISIBLE + rb"{1,128}"
_PROCESS = _VISIBLE + rb"{1,128}"
_DATA = rb'(?:-|(?:\[[^"\]\n]*+(?:"[^"\\\n]*+(?:\\[^\n][^"\\\n]*+)*"[^"\]\n]*+)*\])+)'  # RFC 5424, structured data
_SEVERITY = rb"(?:(?:warning|error|fatal|panic): )?"  # as schemas.keys.queue_id_of has it
_TEXT = (
    rb"((?!message repeated |last message |\[ID |[ \t])" + _SEVERITY
    + rb"(?:(" + QUEUE_ID.encode() + rb"): )?[^\r\n]{0,%d})" % LONGEST_FAST
)  # fmt: skip
_PLAIN_HOST = rb"(?![A-Z]{1,9} |[+-]\d|\d{4} |" + _FACILITY + rb" )" + _HOST + rb"(?<!:)"


def _rows(framed: bytes) -> re.Pattern[bytes]:
    return re.compile(rb"((?:<\d{1,3}>)?" + framed + rb"\r?|[^\n]*)\n")


_traditional_rows = _rows(_STAMP + rb" (" + _PLAIN_HOST + rb" " + _TAG + rb"): " + _TEXT).findall
_rfc5424_rows = _rows(
    rb"1 " + _STAMP + rb" (" + _HOST + rb" " + _APPLICATION + rb" " + _PROCESS + rb") " + _APPLICATION + rb" " + _DATA
    + rb" {1,2}(?!\xef)" + _TEXT
).findall  # fmt: skip
_looks_rfc5424 = re.compile(rb"(?:<\d{1,3}>)?1 [\d-]").match

_priority = re.compile(rb"<\d{1,3}>[ \t]*").match
_blanks = re.compile(rb"[ \t]+").match
_host = re.compile(rb"(" + _HOST + rb"(?<!:)|\[[0-9A-Fa-f.:]{2,45}\])[ \t]+").match
_level = re.compile(rb"(?:<?" + _FACILITY + rb">?|" + _LEVEL + rb")[ \t]+").match
_tag = re.compile(rb"(" + _PROGRAM + rb")(?:\[([^\[\]\s]{0,64})\](?::[ \t]*|[ \t]+|\Z)|:(?:[ \t]+|\Z))").match
_DAEMONS = rb"(?:" + b"|".join(daemon.encode() for daemon in sorted(DAEMONS)) + rb")"
# ``postfix/127.0.0.1:10025/smtpd``, of ``-o syslog_name=postfix/$service_name``; in brackets an address, not a process.
_LISTENER = (
    rb"(?:[\w.-]{1,64}/){1,4}(?:[\w.-]{1,255}|\[[0-9A-Fa-f]{0,4}[.:][0-9A-Fa-f.:]{1,45}\]):[\w-]{1,32}/" + _DAEMONS
)
_listener_tag = re.compile(rb"(" + _LISTENER + rb")\[(\d{1,10})\](?::[ \t]*|[ \t]+|\Z)").match
_solaris_id = re.compile(rb"\[ID \d{1,10} [a-z0-9]+\.[a-z]+\] ").match
_rfc5424 = re.compile(
    rb"(?:<\d{1,3}>)?1 (?:-|" + _STAMP + rb") (" + _HOST + rb") (" + _APPLICATION + rb") (" + _PROCESS + rb") "
    + _APPLICATION + rb" " + _DATA + rb"(?:[ \t]+(?:\xef\xbb\xbf[ \t]*)?(.*))?",
    re.DOTALL,
).fullmatch  # fmt: skip
_plainly_postfix = re.compile(
    rb"(?:<\d{1,3}>)?(?:(" + _HOST + rb"(?<!:)) )?"
    rb"(postfix[\w.-]{0,64}(?:/[\w.-]{1,64}){1,4}|(?:[\w.-]{1,64}/){1,4}" + _DAEMONS + rb"|" + _LISTENER
    + rb")\[(\d{1,10})\]:(?: |\Z)"
).match  # fmt: skip
_repeated = re.compile(rb"message repeated (\d{1,9}) times?: \[ ?(.*)", re.DOTALL).fullmatch
_repeats_last = re.compile(rb"(?:--- )?last message repeated (\d{1,9}) times?(?: ---)?").fullmatch
_says_nothing = re.compile(
    rb"[\0\s]*(?:[^\n]{0,300}-- MARK --|-- (?:Reboot|Boot |Logs begin|Journal begins|No entries|cursor: )[^\n]*)?"
).fullmatch


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
    again: bool = False
    """Whether it stands for the line before it of that host (and of `program`, if it names one)."""


def rows_of(block: bytes) -> list[Row]:
    """Cut a block of whole lines, each with its newline, into rows: one for each line, in order."""
    return _rfc5424_rows(block) if _looks_rfc5424(block) else _traditional_rows(block)


def origin_of(origin: bytes) -> tuple[bytes, bytes, int]:
    """Return host, program and process id of a row's origin: ``HOST PROGRAM[PID]`` or ``HOST PROGRAM PID``."""
    host, _, rest = origin.partition(b" ")
    program, space, process = rest.partition(b" ")
    if space:
        return _given(host), _given(program), pid_of(process)
    if program.endswith(b"]"):
        program, _, process = program[:-1].partition(b"[")
    return host, program, pid_of(process)


def frame_of(line: bytes) -> Frame | None:
    """Take one line (without newline) apart; None where it has no frame known here."""
    line = line.rstrip(b"\r")
    found = _framed(line, line)
    if found is not None:
        return found
    inner = unwrapped(line)
    if inner.startswith(b"{"):
        return _of_json(line, inner)
    return _framed(line, inner) or _without_stamp(inner)


def says_nothing(line: bytes) -> bool:
    """Tell whether *line* is empty, or a mark that the log itself makes (``-- MARK --``)."""
    return _says_nothing(line) is not None


def _framed(line: bytes, framed: bytes) -> Frame | None:
    """Take *framed*, a part of *line*, apart; None where it begins with no stamp and is not RFC 5424."""
    priority = _priority(framed)
    stamp = stamp_of(framed, 0 if priority is None else priority.end())
    if stamp is None:
        return _of_rfc5424(framed)
    blanks = _blanks(framed, stamp.end)
    if blanks is None:
        return None
    rest = framed[blanks.end() :]
    inner = _inside(line, rest)
    if inner is None:
        return _rest_of(line, stamp, rest)
    if inner.zone or not stamp.second:
        return inner
    return inner._replace(stamp=stamp.second, fraction=stamp.fraction, zone=stamp.zone)


def _inside(line: bytes, rest: bytes) -> Frame | None:
    """Take a line apart that a container engine put its own stamp before (*rest* is what follows that)."""
    inner = unwrapped(rest)
    priority = _priority(inner)
    stamp = stamp_of(inner, 0 if priority is None else priority.end())
    blanks = _blanks(inner, stamp.end) if stamp is not None else None
    if stamp is not None and blanks is not None:
        return _rest_of(line, stamp, inner[blanks.end() :])
    return None if inner is rest else _of_rfc5424(inner) or _without_stamp(inner)


def _rest_of(line: bytes, stamp: Stamp, rest: bytes) -> Frame:
    """Take *rest* apart, which follows *stamp* in *line*."""
    level = _level(rest)
    start = 0 if level is None else level.end()
    host = b""
    repeats = _repeats_last(rest, start)
    if repeats is None and (named := _host(rest, start)) is not None:
        host, start = named[1], named.end()
        level = _level(rest, start)
        start = start if level is None else level.end()
        repeats = _repeats_last(rest, start)
    if repeats is not None:
        return Frame(*stamp[:3], host, b"", 0, line, _times(repeats[1]), again=True)
    tag = _tag(rest, start)
    if tag is None or tag[1].endswith(b"/"):
        tag = _listener_tag(rest, start) or tag
    if tag is None:
        return Frame(*stamp[:3], host, b"", 0, line)
    program, process = tag.groups(b"")
    text = rest[tag.end() :]
    solaris = _solaris_id(text)
    if solaris is not None:
        text = text[solaris.end() :]
    return _unfolded(Frame(*stamp[:3], host, program, pid_of(process), text), line)


def _of_rfc5424(framed: bytes) -> Frame | None:
    found = _rfc5424(framed)
    if found is None:
        return None
    stamp, fraction, zone, host, program, process, text = found.groups(b"")
    return _unfolded(Frame(stamp, fraction, zone, _given(host), _given(program), pid_of(process), text), framed)


def _of_json(line: bytes, text: bytes) -> Frame | None:
    found = object_of(text)
    match found:
        case Logged(when, logged):
            return _framed(line, when + b" stdout F " + logged)
        case Entry(stamp, fraction, host, program, process, text):
            return Frame(stamp, fraction, b"Z" if stamp else b"", host, program, pid_of(process), text)
    return None


def _without_stamp(framed: bytes) -> Frame | None:
    found = _plainly_postfix(framed)
    if found is None:
        return None
    host, program, process = found.groups(b"")
    return _unfolded(Frame(b"", b"", b"", host, program, pid_of(process), framed[found.end() :]), framed)


def _unfolded(frame: Frame, line: bytes) -> Frame:
    if not frame.text.startswith((b"message repeated ", b"last message ")):
        return frame
    repeats = _repeats_last(frame.text)
    if repeats is not None:
        return frame._replace(text=line, times=_times(repeats[1]), again=True)
    repeated = _repeated(frame.text)
    if repeated is None or not int(repeated[1]):
        return frame
    return frame._replace(text=repeated[2].removesuffix(b"]"), times=_times(repeated[1]))


def _times(digits: bytes) -> int:
    return max(1, min(int(digits), MOST_REPEATS))


def _given(name: bytes) -> bytes:
    return b"" if name == b"-" else name


def pid_of(process: bytes) -> int:
    """Return the process id, 0 where *process* is none."""
    return int(process) if process.isdigit() and len(process) <= 10 else 0  # noqa: PLR2004 - ten digits hold 32 bits
