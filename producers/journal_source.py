"""Entries of the journal in, lines out: which are Postfix's, what number they have, and the position behind them."""

from fnmatch import fnmatchcase
from typing import Any, Final

import structlog

from producers.blocks import Overlong
from producers.channel import Channel
from producers.frames import pid_of
from producers.intake import Counts
from producers.journal_reader import Field, seek_after
from producers.numbering import Numbering
from producers.origins import MOST_HOST, MOST_PROGRAM
from producers.publishing import Publisher
from schemas.dead_letters import MAX_VALUE
from schemas.errors import TryAgainLaterError
from schemas.keys import queue_id_of
from schemas.raw import JournalPosition, RawLine
from schemas.settings import Settings

log: structlog.stdlib.BoundLogger = structlog.get_logger()

_DEBUG: Final = b"7"
_SECOND: Final = 1_000_000
_FAR: Final = 7200 * _SECOND
"""How far a clock that is put back goes back at most, while the entries before are read again."""
_LATE: Final = 60 * _SECOND
"""How long after a program logged a line journald may write it down; more is a clock that was set in between."""
_MOST_DIGITS: Final = 16
"""Of microseconds since 1970."""


class JournalSource:
    """One journal; where its reader stands is where the source is."""

    def __init__(
        self,
        settings: Settings,
        *,
        name: str,
        host: str,
        publisher: Publisher,
        reader: Any,
        base: JournalPosition | None,
    ) -> None:
        """Read with *reader*; *base* is where an earlier run stopped."""
        self.base: Final = base
        self.channel: Final = Channel(settings, name, host, publisher, self.position)
        self._reader = reader
        self._identifier = Field(reader, "SYSLOG_IDENTIFIER")
        self._pid = Field(reader, "_PID")
        self._syslog_pid = Field(reader, "SYSLOG_PID")
        self._host = Field(reader, "_HOSTNAME")
        self._unit = Field(reader, "_SYSTEMD_UNIT")
        self._priority = Field(reader, "PRIORITY")
        self._message = Field(reader, "MESSAGE")
        self._logged = Field(reader, "_SOURCE_REALTIME_TIMESTAMP")
        self._patterns = settings.producer.units
        self._units: dict[bytes, bool] = {}
        self._longest = settings.producer.max_line_bytes
        self._numbering = Numbering()
        self._entry = 0
        self._entered: dict[int, str] = {}
        self._cursor = base.cursor if base else ""
        self._time = base.time if base else 0
        self._sent = self._ignored = self._dead = 0

    def counts(self) -> Counts:
        """Return what became of the entries of this run."""
        return Counts(self._sent + self._ignored + self._dead, self._sent, self._ignored, self._dead)

    def position(self) -> JournalPosition:
        """Return where the entry read last is."""
        counts, base = self.counts(), self.base
        return JournalPosition(
            cursor=self._cursor,
            anchor=self._entered.get(self._numbering.anchor(), self._cursor),
            time=self._time,
            lines=counts.lines + (base.lines if base else 0),
            ignored=counts.ignored + (base.ignored if base else 0),
            dead=counts.dead + (base.dead if base else 0),
        )

    def read(self, most: int) -> int:
        """Read up to *most* entries; return how many there were, less than *most* at the end.

        Raises TryAgainLaterError for a journal that cannot be read on, and as Publisher.send.
        """
        advance = self._reader._next  # noqa: SLF001 - as in Field
        for read in range(most):
            if not self._advanced(advance):
                return read
            self._take_readable()
        return most

    def recount(self, position: JournalPosition) -> None:
        """Read from the anchor, which is next, to *position*: its numbers go on from there, nothing is sent."""
        reader = self._reader
        self.channel.silent = True
        found = False
        while not found and self._advanced(reader._next):  # noqa: SLF001
            found = bool(reader.test_cursor(position.cursor))
            if not found and reader._get_realtime() > position.time + _FAR:  # noqa: SLF001
                break
            self._take_readable()
        self.channel.batching.close_all()
        self.channel.silent = False
        self._sent = self._ignored = self._dead = 0
        if not found:  # files came or went, so that the entries have another order now
            self._numbering = Numbering(self._entry)
            self._entered.clear()
            self._cursor, self._time = position.cursor, position.time
            seek_after(reader, position.cursor)

    def _advanced(self, advance: Any) -> bool:
        try:
            return bool(advance())
        except OSError as error:
            raise TryAgainLaterError(
                f"the journal cannot be read on after {self._cursor or 'its beginning'}: {error.strerror}; "
                "`journalctl --verify` tells which file is damaged"
            ) from None

    def _take_readable(self) -> None:
        try:
            self._take()
        except OSError as error:
            self._dead += 1
            log.warning("an entry of the journal is damaged and cannot be read", reason=error.strerror)

    def _take(self) -> None:
        reader = self._reader
        received: int = reader._get_realtime()  # noqa: SLF001
        cursor: str = reader._get_cursor()  # noqa: SLF001
        self._time, self._cursor = received, cursor
        self._entry += 1
        program, host = self._identifier()[:MOST_PROGRAM], self._host()[:MOST_HOST]
        process = pid_of(self._pid() or self._syslog_pid())
        key = (host, program, process)
        origin = self.channel.origins.known.get(key)
        if origin is None:
            origin = self.channel.origins.of(key, host, program, process)
        text = self._message()
        taken = (program and origin.relevant) or self._of_unit() or queue_id_of(text) is not None
        if not taken or self._priority() == _DEBUG:
            self._ignored += 1
            return
        if len(text) > self._longest:
            self._dead += 1
            self.channel.bury(Overlong(text[:MAX_VALUE], len(text)), None)
            return
        time = _logged_at(self._logged(), received)
        second = self._numbering.enter(time - time % _SECOND, self._entry)
        if second.entered not in self._entered:
            self._entered[second.entered] = cursor
            self._forget_old()
        number = second.number(hash((time, origin.name, text)))
        bucket = origin.bucket
        if (queue_id := queue_id_of(text)) is not None:
            bucket = origin.host.by_queue_id.get(queue_id) or origin.host.of_queue_id(queue_id)
        self._sent += 1
        self.channel.batching.add(
            bucket, RawLine(time, origin.program, origin.pid, text, number), len(text) + len(program) + 32
        )

    def _of_unit(self) -> bool:
        unit = self._unit()
        known = self._units.get(unit)
        if known is None:
            name = unit.decode("utf-8", "backslashreplace")
            known = bool(unit) and any(fnmatchcase(name, pattern) for pattern in self._patterns)
            if len(self._units) < 10_000:  # noqa: PLR2004 - user sessions and the like make ever new ones
                self._units[unit] = known
        return known

    def _forget_old(self) -> None:
        kept = {self._numbering.current.entered, self._numbering.anchor()}
        for entry in [entry for entry in self._entered if entry not in kept]:
            del self._entered[entry]


def _logged_at(told: bytes, received: int) -> int:
    """Return when a line was logged, as the kernel *told* it to journald, which under load is late to receive it."""
    if not told.isdigit() or len(told) > _MOST_DIGITS:
        return received
    logged = int(told)
    return logged if 0 <= received - logged <= _LATE else received
