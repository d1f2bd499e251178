"""Follow files as they grow: across renaming, truncation in place, deletion and coming back."""

import threading
import time
from collections.abc import Sequence
from typing import Final

import structlog

from producers.compression import UnreadableError
from producers.file_source import FileSource
from producers.run import POLL_SECONDS, Run
from schemas.errors import ConfigurationError

QUIET_SECONDS: Final = 1.0
"""How long a file that was renamed away has to say nothing, once the new one has lines, before that is read."""

log: structlog.stdlib.BoundLogger = structlog.get_logger()


def follow_all(run: Run, sources: Sequence[FileSource], stop: threading.Event) -> None:
    """Read what is appended to the files of *sources* until *stop* is set. Raises as Publisher.send."""
    following = [_Following(source) for source in sources]
    while not stop.is_set():
        wait = POLL_SECONDS
        for one in following:
            if one.step():
                run.read(one.source.channel)
                wait = 0
            wait = min(wait, run.tick(one.source.channel))
        if wait:
            stop.wait(wait)
    for one in following:
        one.source.channel.mark()


class _Following:
    """One of the files."""

    def __init__(self, source: FileSource) -> None:
        self.source = source
        self._read_at = time.monotonic()
        self._told = ""

    def step(self) -> bool:
        """Read on, or see what became of the file; tell whether lines may have come."""
        source = self.source
        if source.text is None:
            return self._open()
        try:
            change = source.change()
            if change == "truncated":
                log.info("the log was truncated", file=str(source.path))
                source.channel.mark()
                source.begin_again()
                return self._open()
            if source.read():
                self._read_at = time.monotonic()
                return True
        except UnreadableError as error:
            source.leave(error)
            return self._open()
        quiet = time.monotonic() - self._read_at >= QUIET_SECONDS
        if source.has_more() or (change == "replaced" and quiet):
            source.end_part()
            return self._open()
        return False

    def _open(self) -> bool:
        try:
            opened = self.source.open_next(again=True)
        except ConfigurationError as error:  # it may be readable in a moment: whoever rotates it is at work
            if str(error) != self._told:
                self._told = str(error)
                log.warning("the log cannot be read now", reason=self._told)
            return False
        if opened:
            self._told = ""
            self._read_at = time.monotonic()
        return opened
