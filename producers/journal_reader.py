"""The systemd journal, as far as a producer needs it: open, find the place to begin, next entry, its fields.

Entries are read without matches: a match by identifier would miss programs that log for the first time later, and the
field access used here (one field at a time, no dictionary of all) is fast enough to look at every entry.
"""

from pathlib import Path
from typing import Any, Final

import structlog

from producers.journal_files import damaged_files
from schemas.dead_letters import MAX_VALUE
from schemas.errors import ConfigurationError
from schemas.raw import JournalPosition

log: structlog.stdlib.BoundLogger = structlog.get_logger()


def open_reader(directory: Path | None, namespace: str | None) -> Any:
    """Return a ``systemd.journal.Reader`` of this host's journal, of *namespace*, or of the files in *directory*.

    Raises ConfigurationError where systemd-python is missing or there is no such journal.
    """
    try:
        from systemd import journal  # noqa: PLC0415 - an optional part, with a C library
    except ImportError as error:
        raise ConfigurationError(
            f"the systemd journal cannot be read here: {error}. Get it with `pip install 'journal-postfix[journal]'` "
            "(it needs libsystemd: on Debian, apt-get install libsystemd-dev pkg-config gcc)"
        ) from None
    if directory is not None and not directory.is_dir():
        raise ConfigurationError(f"{directory} is not a folder of journal files: give one, or leave --directory out")
    if directory is not None and namespace is not None:
        raise ConfigurationError("a journal is named by a folder or by a namespace, not by both")
    try:
        reader = journal.Reader(path=str(directory) if directory is not None else None, namespace=namespace)
    except OSError as error:
        raise ConfigurationError(
            f"the journal{f' in {directory}' if directory else ''} cannot be opened: {error.strerror}: "
            "run as a user of the group systemd-journal"
        ) from None
    for file, reason in damaged_files(directory):
        log.warning("a file of the journal is left out; `journalctl --verify` tells more", file=file, reason=reason)
    reader.data_threshold = MAX_VALUE + len("MESSAGE=")
    return reader


class Field:
    """Reads one field of the entry that a reader is at."""

    __slots__ = ("_get", "_name")

    def __init__(self, reader: Any, name: str) -> None:
        """See the class."""
        self._get: Final = reader._get  # noqa: SLF001 - four times as fast as the public way (Reader.get_next)
        self._name: Final = name

    def __call__(self) -> bytes:
        """Return its value, empty where the entry does not have it. Raises OSError for an entry that is damaged."""
        try:
            value: bytes = self._get(self._name)
        except KeyError:
            return b""
        return value


def seek_after(reader: Any, cursor: str) -> bool:
    """Go to the entry at *cursor*, so that the next one is that after it; tell whether it is there."""
    try:
        reader.seek_cursor(cursor)
    except (ValueError, OSError):
        return False
    return bool(reader._next()) and bool(reader.test_cursor(cursor))  # noqa: SLF001


def seek_given(reader: Any, cursor: str) -> None:
    """Do as `seek_after` for a cursor that a person gave. Raises ConfigurationError if it is none."""
    try:
        reader.seek_cursor(cursor)
    except (ValueError, OSError):
        raise ConfigurationError(
            f"{cursor!r} is not a journal cursor: take one from `journalctl --show-cursor -n 1`"
        ) from None
    if not seek_after(reader, cursor):
        log.warning("the journal has no entry with that cursor; reading from the nearest one")
        reader.seek_cursor(cursor)


def _seek_moment(reader: Any, position: JournalPosition) -> None:
    """Go to before the first of the entries of the same moment as that at *position*: only they share its numbers."""
    seek_after(reader, position.cursor)
    first = position.cursor
    while reader._previous() and reader._get_realtime() == position.time:  # noqa: SLF001
        first = reader._get_cursor()  # noqa: SLF001
    reader.seek_cursor(first)


def seek_position(reader: Any, position: JournalPosition) -> bool:
    """Go to where an earlier run stopped; tell whether lines from its anchor on have to be counted again.

    If so, the next entry is that at the anchor, else the first one after the position. Where the cursors are gone
    (vacuumed, or another journal), the time tells the place; where that lies beyond the end, all is read.
    """
    if seek_after(reader, position.cursor):
        if seek_after(reader, position.anchor):
            reader.seek_cursor(position.anchor)
        else:
            _seek_moment(reader, position)
        return True
    reader.seek_tail()
    last = reader._get_realtime() if reader._previous() else 0  # noqa: SLF001
    if last < position.time:
        log.warning("the journal has not the entry that was read last, and ends before it; reading all of it")
        reader.seek_head()
    else:
        log.warning("the journal has no longer the entry that was read last; going on from its time",
                    time=position.time)  # fmt: skip
        reader.seek_realtime(position.time)
    return False
