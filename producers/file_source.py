"""One log file as a source: where to begin, reading on, and what comes after it when it is rotated."""

import os
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

import msgspec
import structlog

from producers.blocks import BLOCK, Blocks
from producers.channel import Channel
from producers.clock import Clock
from producers.compression import LogText, UnreadableError
from producers.identity import HEAD, TAIL, digest_of
from producers.intake import Counts, Intake
from producers.publishing import Publisher, StoppedError
from producers.rotation import Part, Succession
from schemas.errors import ConfigurationError
from schemas.raw import FilePosition, Position
from schemas.settings import Settings

log: structlog.stdlib.BoundLogger = structlog.get_logger()

Change = Literal["none", "gone", "truncated", "replaced"]

_TRIES: Final = 5
"""How often files are looked for that are renamed meanwhile."""


def name_of(host: str, path: Path) -> str:
    """Return the source's key in the topic of positions."""
    return f"{host}:file:{os.fsencode(path.absolute()).decode('utf-8', 'backslashreplace')}"


class FileSource:
    """The log at one path, whichever files it was in."""

    def __init__(
        self,
        path: Path,
        *,
        settings: Settings,
        host: str,
        publisher: Publisher,
        position: Position | None,
        clock: Clock | None,
        stop: threading.Event,
    ) -> None:
        """Begin after *position*, if any, and with *clock*: that of the file before; None: one that guesses."""
        self.path: Final = path.absolute()
        self.base: Final = position if isinstance(position, FilePosition) else None
        """What an earlier run had read."""
        self.channel: Final = Channel(settings, name_of(host, path), host, publisher, self.position)
        self.text: LogText | None = None
        """The file that is being read."""
        self._settings = settings.producer
        self._stop = stop
        clock = clock or Clock(self._settings.zone(), now=datetime.now(UTC))
        self._intake = Intake(
            clock=clock,
            batching=self.channel.batching,
            origins=self.channel.origins,
            longest=self._settings.max_line_bytes,
            bury=self.channel.bury,
        )
        self._blocks = Blocks(self._settings.max_line_bytes)
        self._head = b""
        self._read = 0
        self._already = 0
        self._ahead = b""
        self._modified = 0
        self._begun_empty = False
        self._part: Path | None = None
        """Which file is, or was last, open."""
        self._before = self.base
        """Where the file before ended, or an earlier run: it counts until a byte of the next file was read."""
        self._succession = Succession(self.path)

    @property
    def clock(self) -> Clock:
        """Return the clock that its latest line set."""
        return self._intake.clock

    def counts(self) -> Counts:
        """Return what became of the lines of this run."""
        return self._intake.counts()

    def position(self) -> FilePosition:
        """Return where the next line begins."""
        intake, base, counts = self._intake, self.base, self._intake.counts()
        lines = counts.lines + (base.lines if base else 0)
        ignored = counts.ignored + (base.ignored if base else 0)
        dead = counts.dead + (base.dead if base else 0)
        if not self._head and self._before is not None:
            return msgspec.structs.replace(self._before, lines=lines, ignored=ignored, dead=dead)
        tail = intake.tail(TAIL)
        return FilePosition(
            path=str(self.path) if str(self.path).isprintable() else self.channel.source,
            head_length=len(self._head),
            head_digest=digest_of(self._head),
            offset=intake.offset,
            anchor=min(intake.anchor(), intake.offset),
            tail_length=len(tail),
            tail_digest=digest_of(tail) if tail else "",
            modified=self._modified,
            year=intake.clock.year,
            left=intake.clock.left,
            lines=lines,
            ignored=ignored,
            dead=dead,
        )

    def open_next(self, *, again: bool = False) -> bool:
        """Open the next file to read; tell whether there is one. That at the path, once read, is it *again* only.

        Raises ConfigurationError for one that cannot be read, StoppedError.
        """
        for _ in range(_TRIES):
            part = self._next_part(again=again)
            if part is None:
                return False
            try:
                self.text = LogText(part.path)
                self._begin(self.text, part.position)
            except FileNotFoundError:  # renamed since, or compressed
                self.close()
                continue
            except (OSError, UnreadableError) as error:
                self.close()
                raise ConfigurationError(f"{part.path} cannot be read: {error}") from None
            self._part = part.path
            return True
        return False

    def read(self) -> bool:
        """Read on, a block at most; tell whether there was anything. Raises UnreadableError, and as Publisher.send."""
        assert self.text is not None
        piece = self._ahead or self.text.read(BLOCK)
        self._ahead = b""
        if self._is_another():  # truncated while it was read: these bytes are not what follows
            return False
        self._read += len(piece)
        if piece:
            self._modified = self.text.modified()
        if len(self._head) < HEAD:
            self._head += piece[: HEAD - len(self._head)]
        for found in self._blocks.feed(piece):
            self._intake.feed(found)
        return bool(piece)

    def end_part(self) -> None:
        """Take the file's last line, where it has no newline, and close the file; mark its end.

        Raises as Publisher.send.
        """
        if self._blocks.unfinished > self._already:
            last = self._blocks.end()
            assert last is not None
            self._intake.feed(last)
            self._intake.offset -= 1
        else:
            self._intake.offset += self._blocks.unfinished
        assert self.text is not None
        self._finish(whole=self.text.compression is not None or self.text.status().st_size <= self._read)

    def leave(self, error: UnreadableError) -> None:
        """Leave the rest of the file out, which cannot be read, and close it. Raises as Publisher.send."""
        log.warning("the rest of a file cannot be read and is left out; get a good copy of it and feed that",
                    file=str(self._part), reason=str(error))  # fmt: skip
        self._finish(whole=True)

    def change(self) -> Change:
        """Tell what became of the path while its file was read."""
        assert self.text is not None
        try:
            now = self.path.stat()
        except OSError:
            return "gone"
        status, plain = self.text.status(), self.text.compression is None
        if (now.st_dev, now.st_ino) != (status.st_dev, status.st_ino):
            # While the new file is empty, its writer may still have the old one.
            return "replaced" if now.st_size else "gone"
        if self._is_another() or (plain and status.st_size < self._read):
            return "truncated"
        if plain and status.st_size == self._read and self.text.modified() > self._modified:
            return "truncated"  # it may have grown before, and have been copied: nothing else shows that
        if self._begun_empty and status.st_size and not self._read:
            self._begun_empty = False
            if self._succession.missed(self._modified):
                return "truncated"  # what comes now is not what came first
        return "none"

    def begin_again(self) -> None:
        """Go on with whatever the path holds now, and before that with what was put aside meanwhile."""
        self._before = self.position()
        self.close()

    def close(self) -> None:
        """Close the file, if one is open."""
        if self.text is not None:
            self.text.close()
            self.text = None
        self._head = b""

    def has_more(self) -> bool:
        """Tell whether the file that is open was put aside, so that others come after it."""
        return self._part != self.path

    def bytes_done(self) -> int:
        """Return how much of the open file, as it lies on the disk, was read."""
        return self.text.done() if self.text is not None else 0

    def _is_another(self) -> bool:
        """Tell whether the open file no longer begins as it did."""
        assert self.text is not None
        return self.text.compression is None and self.text.head(len(self._head)) != self._head

    def _next_part(self, *, again: bool) -> Part | None:
        was_read = self._part == self.path and not again
        if was_read and self._succession.was_finished(self.path):
            return None
        part = self._succession.next(self._before)
        # What was appended to the path's file since is for the next run.
        return None if was_read and part == (self.path, self._before) else part

    def _finish(self, *, whole: bool) -> None:
        """Close the file; where it was not read *whole*, it is looked at again."""
        assert self.text is not None
        self.channel.mark()
        if whole:
            self._succession.finish(self.text.status())
        self._before = self.position()
        self.close()

    def _begin(self, text: LogText, position: FilePosition | None) -> None:
        clock = self._intake.clock
        self._head, self._read, self._already, self._ahead = b"", 0, 0, b""
        self._modified = text.modified()
        self._begun_empty = text.status().st_size == 0
        self._blocks = Blocks(self._settings.max_line_bytes)
        if position is None:
            self._intake.begin(clock, 0)
            return
        self._recount(text, position, position.year)
        wrong = self._intake.clock.year - position.year
        if position.year and wrong:  # New Year lies between the anchor and the position
            text.rewind()
            self._recount(text, position, position.year - wrong)

    def _recount(self, text: LogText, position: FilePosition, year: int) -> None:
        """Read the lines before *position* that the numbers, and the times, of those after it depend on."""
        known = min(HEAD, position.offset)
        self._head = text.read_exactly(known)[:known]
        text.rewind()
        counts = self._intake.counts()
        self._blocks = Blocks(self._settings.max_line_bytes)
        clock = Clock(self._settings.zone(), now=datetime.now(UTC), year=year, left=position.left)
        self._intake.begin(clock, position.anchor)
        self._ahead = text.skip(position.anchor)
        left = position.offset - position.anchor
        self._read = position.anchor
        self.channel.silent = True
        try:
            while left:
                piece = self._ahead or text.read(min(BLOCK, left))
                if not piece:
                    raise UnreadableError("it is shorter than it was")
                piece, self._ahead = piece[:left], piece[left:]
                left -= len(piece)
                self._read += len(piece)
                for found in self._blocks.feed(piece):
                    self._intake.feed(found)
                if self._stop.is_set():
                    raise StoppedError
        finally:
            self.channel.batching.close_all()
            self.channel.silent = False
            self._intake.restore(counts)
        self._already = self._blocks.unfinished
