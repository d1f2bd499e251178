"""One log file as a source: where to begin, reading on, and what comes after it when it is rotated."""

import os
import threading
from collections import deque
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal, NamedTuple

import structlog

from producers.blocks import BLOCK, Block, Blocks, Overlong
from producers.channel import Channel
from producers.clock import Clock
from producers.compression import LogText, UnreadableError
from producers.identity import HEAD, digest_of, is_at, since
from producers.intake import Counts, Intake
from producers.publishing import Publisher, StoppedError
from schemas.errors import ConfigurationError
from schemas.raw import FilePosition, Position
from schemas.settings import Settings

log: structlog.stdlib.BoundLogger = structlog.get_logger()

Change = Literal["none", "gone", "truncated", "replaced"]


class Part(NamedTuple):
    """A file to read, from where on."""

    path: Path
    position: FilePosition | None = None


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
        self._parts = deque(self._to_read(self.base))

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
        return FilePosition(
            path=str(self.path) if str(self.path).isprintable() else self.channel.source,
            head_length=len(self._head),
            head_digest=digest_of(self._head),
            offset=intake.offset,
            anchor=min(intake.anchor(), intake.offset),
            year=intake.clock.year,
            lines=counts.lines + (base.lines if base else 0),
            ignored=counts.ignored + (base.ignored if base else 0),
            dead=counts.dead + (base.dead if base else 0),
        )

    def open_next(self, *, again: bool = False) -> bool:
        """Open the next file to read; tell whether there is one. *again*: look for the path if there was none left.

        Raises ConfigurationError for one that cannot be read, StoppedError.
        """
        if again and not self._parts:
            self._parts.append(Part(self.path))
        while self._parts:
            part = self._parts.popleft()
            try:
                self.text = LogText(part.path)
                self._begin(self.text, part.position)
            except FileNotFoundError:
                self.close()
                continue
            except (OSError, UnreadableError) as error:
                self.close()
                raise ConfigurationError(f"{part.path} cannot be read: {error}") from None
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
        if len(self._head) < HEAD:
            self._head += piece[: HEAD - len(self._head)]
        for found in self._blocks.feed(piece):
            self._take(found)
        return bool(piece)

    def end_part(self) -> None:
        """Take the file's last line, where it has no newline, and close the file; mark its end.

        Raises as Publisher.send.
        """
        if self._blocks.unfinished > self._already:
            last = self._blocks.end()
            assert last is not None
            self._take(last)
            self._intake.offset -= 1
        else:
            self._intake.offset += self._blocks.unfinished
        self.channel.mark()
        self.close()

    def change(self) -> Change:
        """Tell what became of the path while its file was read."""
        assert self.text is not None
        try:
            now = self.path.stat()
        except OSError:
            return "gone"
        status = self.text.status()
        if (now.st_dev, now.st_ino) != (status.st_dev, status.st_ino):
            # While the new file is empty, its writer may still have the old one.
            return "replaced" if now.st_size else "gone"
        if self._is_another() or (self.text.compression is None and status.st_size < self._read):
            return "truncated"
        return "none"

    def begin_again(self) -> None:
        """Go on with whatever the path holds now, and before that with what was put aside meanwhile."""
        self._parts = deque(self._to_read(self.position()))
        self.close()

    def close(self) -> None:
        """Close the file, if one is open."""
        if self.text is not None:
            self.text.close()
            self.text = None

    def has_more(self) -> bool:
        """Tell whether other files come after the one that is open."""
        return bool(self._parts)

    def bytes_done(self) -> int:
        """Return how much of the open file, as it lies on the disk, was read."""
        return self.text.done() if self.text is not None else 0

    def _is_another(self) -> bool:
        """Tell whether the open file no longer begins as it did."""
        assert self.text is not None
        return self.text.compression is None and self.text.head(len(self._head)) != self._head

    def _to_read(self, position: FilePosition | None) -> list[Part]:
        if position is None:
            return [Part(self.path)]
        if is_at(position, self.path):
            return [Part(self.path, position)]
        aside = since(self.path, position)
        if not aside:
            log.warning("the log is another one than before, and no file beside it is the one that was read; "
                        "reading it from its beginning", file=str(self.path))  # fmt: skip
            return [Part(self.path)]
        log.info("the log was rotated", file=str(self.path), then=[str(file) for file in aside])
        return [Part(aside[0], position), *map(Part, aside[1:]), Part(self.path)]

    def _begin(self, text: LogText, position: FilePosition | None) -> None:
        clock = self._intake.clock
        self._head, self._read, self._already, self._ahead = b"", 0, 0, b""
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
        self._intake.begin(Clock(self._settings.zone(), now=datetime.now(UTC), year=year), position.anchor)
        self._ahead = text.skip(position.anchor)
        left = position.offset - position.anchor
        self._read = position.anchor
        self.channel.silent = True
        while left:
            piece = self._ahead or text.read(min(BLOCK, left))
            if not piece:
                raise UnreadableError("it is shorter than it was")
            piece, self._ahead = piece[:left], piece[left:]
            left -= len(piece)
            self._read += len(piece)
            for found in self._blocks.feed(piece):
                self._take(found)
            if self._stop.is_set():
                raise StoppedError
        self.channel.batching.close_all()
        self.channel.silent = False
        self._intake.restore(counts)
        self._already = self._blocks.unfinished

    def _take(self, found: Block | Overlong) -> None:
        if isinstance(found, Block):
            self._intake.take(found.lines)
        else:
            self._intake.take_overlong(found)
