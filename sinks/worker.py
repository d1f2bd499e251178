"""The process of the sink stage: reads the output topics, writes batches, knows from the database where it is."""

import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Final

import psycopg2
import structlog

from schemas.errors import ConfigurationError, TryAgainLaterError, one_line
from schemas.figures import Figure, Watch, unwatched
from schemas.interpreter import collect_rarely
from schemas.settings import Settings
from schemas.topics import topics_of
from sinks.connecting import unusable
from sinks.figures import Counts
from sinks.migrating import pending
from sinks.reading import GLANCE_SECONDS, HandedOver, Reader
from sinks.storing import Prepared, Store
from sinks.writing import PositionMovedError, Writer

log = structlog.get_logger()

_FIRST_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 5.0
_WAIT_SECONDS: Final = 1.0
_STOP_SECONDS: Final = 10.0
"""How long a statement may go on after a stop."""

_SWITCH_SECONDS: Final = 0.0005
"""How long the thread that prepares a batch keeps the interpreter while the one that writes has an answer."""

_LOST = (psycopg2.OperationalError, psycopg2.InterfaceError, psycopg2.InternalError, SystemError)
"""The server went away, became a standby, or asks to try again (deadlock, serialization): no record is at fault."""


def run(settings: Settings, stop: threading.Event, watch: Watch = unwatched) -> None:
    """Run the stage in this process until *stop* is set. *watch* gets its figures.

    Raises ConfigurationError (settings, migrations, lost positions, nothing but bad records) and TryAgainLaterError.
    """
    sys.setswitchinterval(_SWITCH_SECONDS)
    collect_rarely()
    try:
        if missing := pending(settings):
            raise ConfigurationError(
                f"the database lacks migrations ({', '.join(missing)}): run `journal-postfix migrate`"
            )
        sink = _Sink(settings, stop)
        watch(sink.figures)
        ended = threading.Event()
        threading.Thread(target=sink.hurry, args=(ended,), name="sink-stop", daemon=True).start()
        try:
            sink.run()
        finally:
            ended.set()
            sink.close()
    except _LOST as error:  # while it started; later ones are ridden out
        raise TryAgainLaterError(f"the database can't be used now: {one_line(error)}") from error
    except psycopg2.Error as error:
        raise unusable(error, settings.database) from error


class _Writing:
    """A batch that is being written."""

    def __init__(self, outcome: "Future[int]", prepared: Prepared, covered: HandedOver) -> None:
        self.outcome: Final = outcome
        """The number of dead letters."""
        self.prepared: Final = prepared
        self.covered: Final = covered
        self.since: Final = time.monotonic()


class _Sink:
    def __init__(self, settings: Settings, stop: threading.Event) -> None:
        self._settings = settings
        self._stop = stop
        topics = topics_of(settings.kafka, settings.stream)
        self._writer = Writer(settings)
        self._store = Store(settings, topics)
        self._reader = Reader(settings, topics, stop, self._let_finish)
        self._pause = _FIRST_PAUSE
        # PostgreSQL merges one batch while the next one is read and prepared; one at a time, over one connection.
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="sink-write")
        self._writing: _Writing | None = None
        self._counts = Counts(settings.metrics.domains if settings.metrics.port is not None else 0)

    def close(self) -> None:
        """Leave the group and the database, after what is being written."""
        self._executor.shutdown()
        self._reader.close()
        self._writer.close()

    def hurry(self, ended: threading.Event) -> None:
        """Cancel a statement that still runs some time after a stop, such as one that waits for a lock."""
        while not ended.wait(GLANCE_SECONDS):
            if self._stop.is_set() and not ended.wait(_STOP_SECONDS):
                self._writer.cancel()

    def run(self) -> None:
        """Read and write until told to stop; then write what was read."""
        self._reader.join()
        log.info("sink stage starts", group=self._settings.sink.group)
        while not self._stop.is_set():
            try:
                if not self._reader.placed:
                    self._finish_writing()
                    self._store.resume(self._reader.place(self._writer.positions(self._reader.topics)))
                self._reader.read()
                self._write()
                if self._reader.look_after():
                    self._start_afresh()
            except PositionMovedError as error:
                log.warning("another sink has written: starting afresh", why=str(error))
                self._start_afresh()
            except _LOST as error:
                log.warning("the database does not answer; trying on", why=one_line(error), pause=self._pause)
                self._start_afresh()
                self._connect_again()
        try:
            self._finish_writing()
        except (PositionMovedError, *_LOST) as error:
            log.warning("the last batch was not stored: whoever comes next reads it again", why=one_line(error))

    def _write(self) -> None:
        """Hand what was read over to be written, when the batch before it is."""
        positions = self._reader.moved()
        prepared = self._store.prepare(self._reader.records) if positions else None
        self._finish_writing()
        if prepared is None:
            return
        covered = self._reader.hand_over(positions)
        outcome = self._executor.submit(self._store.store, self._writer, prepared, positions)
        self._writing = _Writing(outcome, prepared, covered)

    def _finish_writing(self) -> None:
        """Wait for the batch that is being written, if one is. Raises what kept it from being stored."""
        if self._writing is None:
            return
        while not wait([self._writing.outcome], _WAIT_SECONDS).done:
            self._stop.is_set()  # a sign of life: who waits for the database, or for a lock, does not hang
        writing, self._writing = self._writing, None
        letters = writing.outcome.result()
        self._pause = _FIRST_PAUSE
        self._counts.stored(writing.prepared, letters, time.monotonic() - writing.since)
        self._reader.written(writing.covered)

    def _let_finish(self) -> None:
        """Wait for the batch that is being written: whoever has its partitions next begins behind it."""
        if self._writing is not None:
            wait([self._writing.outcome], _STOP_SECONDS)

    def _start_afresh(self) -> None:
        self._counts.retries += 1
        self._reader.start_afresh()

    def _connect_again(self) -> None:
        """Stay in the group while the database is away, reading nothing, until it answers or a stop comes."""
        while not self._stop.is_set():
            self._writer.close()
            until = time.monotonic() + self._pause
            self._pause = min(self._pause * 2, _LONGEST_PAUSE)
            while time.monotonic() < until and not self._stop.is_set():
                self._reader.stay()
            try:
                self._writer = Writer(self._settings)
            except (TryAgainLaterError, *_LOST) as error:
                log.warning("the database is still away", why=one_line(error), pause=self._pause)
            else:
                return

    def figures(self) -> Iterator[Figure]:
        """Yield what there is to tell; for any thread."""
        yield from self._counts.figures()
        yield from self._reader.figures()
