"""Log files as a source: several in order, then, if wanted, whatever is appended to them across rotations."""

import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from producers.checks import check_all, check_read
from producers.clock import Clock
from producers.compression import UnreadableError
from producers.file_source import FileSource, name_of
from producers.following import follow_all
from producers.publishing import StoppedError
from producers.run import Run, begun, host_of
from producers.summary import OnProgress, Progress, Summary, summary_of
from schemas.errors import ConfigurationError
from schemas.settings import Settings


def run(
    settings: Settings,
    files: Sequence[Path],
    *,
    follow: bool = False,
    year: int | None = None,
    stop: threading.Event,
    on_progress: OnProgress | None = None,
) -> Summary:
    """Send the lines of *files*, one file after the other, each from where an earlier run left it.

    *year* is that of the first time stamp that has none. With *follow* it returns when *stop* is set, else at the
    files' end. Raises ConfigurationError for what can't be read, or has no line of Postfix, and TryAgainLaterError.
    """
    check_all(files, follow=follow)
    reading = _Reading(settings, files, follow=follow, year=year, stop=stop)
    started = time.monotonic()
    with suppress(StoppedError), begun(settings, reading.names, stop, on_progress) as run:
        started = time.monotonic()
        try:
            with suppress(StoppedError):
                reading.to_the_ends(run)
                if follow:
                    follow_all(run, reading.sources, stop)
        finally:
            reading.close()
    reading.complain()
    return reading.summary(time.monotonic() - started)


class _Reading:
    """The files of a run and the sources that they become, one by one."""

    def __init__(
        self, settings: Settings, files: Sequence[Path], *, follow: bool, year: int | None, stop: threading.Event
    ) -> None:
        self.sources: list[FileSource] = []
        self._settings = settings
        self._files = files
        self._follow = follow
        self._year = year
        self._stop = stop
        self._host = host_of(settings)
        self.names = [name_of(self._host, file) for file in files]
        self._sizes = [_size(file) for file in files]
        self._failure: ConfigurationError | None = None

    def to_the_ends(self, run: Run) -> None:
        """Read every file up to its end, in order; those that are followed stay open. Raises as Publisher.send."""
        for file, name in zip(self._files, self.names, strict=True):
            source = FileSource(
                file, settings=self._settings, host=self._host, publisher=run.publisher,
                position=run.positions.get(name), clock=self._clock(), stop=self._stop,
            )  # fmt: skip
            self.sources.append(source)
            try:
                self._to_the_end(run, source)
            except UnreadableError as error:
                source.channel.mark()
                self._failure = ConfigurationError(
                    f"{file} cannot be read to its end: {error}. The lines before that were sent; "
                    f"get a good copy of the file and run this again{self._left_out()}"
                )
                raise StoppedError from None
        run.tell(self._progress(), last=True)

    def _left_out(self) -> str:
        later = self._files[len(self.sources) :]
        return f". What comes after it was not read: {', '.join(map(str, later))}" if later else ""

    def close(self) -> None:
        """Close the files."""
        for source in self.sources:
            source.close()

    def complain(self) -> None:
        """Raise ConfigurationError if a file could not be read to its end, or was none of Postfix's."""
        if self._failure is not None:
            raise self._failure
        if self._follow or self._stop.is_set():
            return
        for source in self.sources:
            if source.base is None:
                check_read(source.counts(), f"{source.path}")

    def summary(self, seconds: float) -> Summary:
        """Return what the run has done."""
        return summary_of(
            [source.counts() for source in self.sources],
            skipped=sum(source.base.lines for source in self.sources if source.base is not None),
            seconds=seconds,
        )

    def _to_the_end(self, run: Run, source: FileSource) -> None:
        while self._opened(source):
            try:
                while source.read():
                    run.read(source.channel)
                    run.tick(source.channel)
                    run.tell(self._progress())
                    if self._stop.is_set():
                        source.channel.mark()
                        raise StoppedError
            except UnreadableError as error:
                if not self._follow:
                    raise
                source.leave(error)
                continue
            if self._follow and not source.has_more():
                return
            source.end_part()

    def _opened(self, source: FileSource) -> bool:
        try:
            return source.open_next()
        except ConfigurationError:
            if not self._follow:
                raise
            return False  # who follows it tries again, and tells

    def _clock(self) -> Clock | None:
        """Return the clock of the next file: where its year is given, it goes on from file to file."""
        if self._year is None:
            return None
        if self.sources:
            return self.sources[-1].clock
        return Clock(self._settings.producer.zone(), now=datetime.now(UTC), year=self._year)

    def _progress(self) -> Progress:
        read = len(self.sources)
        done = sum(self._sizes[: read - 1]) + (
            self.sources[-1].bytes_done() if self.sources[-1].text else self._sizes[read - 1]
        )
        total = sum(self._sizes)
        return Progress(sum(source.counts().lines for source in self.sources), min(done, total), total)


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0
