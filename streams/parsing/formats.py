"""How a daemon's formats are written down: a table of `Format` entries, tried in order."""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import msgspec

from streams.parsing.facts import Parsed


class Line(msgspec.Struct, frozen=True, gc=False):
    """A line taken apart as far as all daemons agree."""

    instance: str
    """``syslog_name`` of the Postfix instance."""
    service: str
    """The rest of the program's name: ``smtpd``, ``submission/smtpd``."""
    pid: int
    severity: str | None
    """``warning``, ``error``, ``fatal`` or ``panic``, or None for information."""
    queue_id: str | None
    """A queue id, ``NOQUEUE``, or None."""
    text: str
    """What follows."""


Make = Callable[[re.Match[str], Line], Parsed]


class Format(NamedTuple):
    """One kind of line: a literal beginning, a pattern from there on, and what it means."""

    what: str
    begins: str
    pattern: Callable[[str], re.Match[str] | None] | None
    make: Make | None
    """Gives the facts; None for a line that bears no fate."""
    ignored: str | None = None
    shown: str = ""
    """The line as the coverage page shows it."""
    becomes: str = ""
    """What becomes of it, for that page."""


class Family(NamedTuple):
    """The formats of one daemon, by what stands before the text."""

    source: str
    """Where Postfix logs them, under ``src/``."""
    queued: tuple[Format, ...] = ()
    """After a queue id."""
    noqueue: tuple[Format, ...] = ()
    """After ``NOQUEUE``."""
    bare: tuple[Format, ...] = ()
    """After neither."""


def fact(  # noqa: PLR0917 - a row of a table
    what: str, begins: str, pattern: str, make: Make, shown: str, becomes: str
) -> Format:
    """Return a format that bears on a message; *pattern* follows *begins* up to the end of what it needs.

    *shown* and *becomes* are what the coverage page says of it.
    """
    compiled = re.compile(re.escape(begins) + pattern, re.DOTALL | re.ASCII).match
    return Format(what, begins, compiled, make, shown=shown, becomes=becomes)


def pattern_of(entry: Format) -> Callable[[str], re.Match[str] | None]:
    """Return the pattern of a format that has one."""
    assert entry.pattern is not None
    return entry.pattern


def quiet(ignored: str, *beginnings: str) -> tuple[Format, ...]:
    """Return formats that are known and bear on no message's fate, of the class *ignored*."""
    return tuple(Format(ignored, begins, None, None, ignored) for begins in beginnings)


def quiet_pattern(ignored: str, pattern: str, shown: str) -> Format:
    """Return a format that bears on no message's fate, where no literal beginning tells it."""

    def make(_: re.Match[str], line: Line) -> Parsed:
        return Parsed(what=ignored, queue_id=line.queue_id if line.queue_id != "NOQUEUE" else None, ignored=ignored)

    return Format(ignored, "", re.compile(pattern).match, make, ignored, shown)


@lru_cache(maxsize=1024)
def split_program(program: str) -> tuple[str, str, str]:
    """Return instance, service and daemon of a syslog identifier.

    ``postfix/submission/smtpd`` is ``("postfix", "submission/smtpd", "smtpd")``.
    """
    instance, slash, service = program.partition("/")
    if not slash:
        return "", program, program
    return instance, service, service.rpartition("/")[2]
