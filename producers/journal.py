"""The systemd journal as a source: backfill, then follow, across rotation and vacuuming."""

import threading
import time
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from producers.journal_reader import open_reader, seek_given, seek_position
from producers.journal_source import JournalSource
from producers.publishing import StoppedError
from producers.run import Run, begun, host_of
from producers.summary import OnProgress, Progress, Summary, summary_of
from schemas.errors import ConfigurationError
from schemas.moments import parse_time
from schemas.raw import JournalPosition
from schemas.settings import Settings
from schemas.timestamps import MICROSECONDS

_AT_ONCE: Final = 2000
"""Entries between two looks at the clock."""


def run(
    settings: Settings,
    *,
    since: str | None = None,
    cursor: str | None = None,
    directory: Path | None = None,
    namespace: str | None = None,
    follow: bool = False,
    stop: threading.Event,
    on_progress: OnProgress | None = None,
) -> Summary:
    """Send the journal's lines from where an earlier run left it.

    It begins after *cursor*, if one is given; else where the last run stopped; else at the time *since*, or at the
    journal's beginning. With *follow* it returns when *stop* is set, else at the end. Raises ConfigurationError and
    TryAgainLaterError.
    """
    at = _microseconds(since, settings) if since is not None else None
    host = host_of(settings)
    name = name_of(host, directory, namespace)
    source: JournalSource | None = None
    started = time.monotonic()
    with closing(open_reader(directory, namespace)) as reader:
        _check(reader, directory, follow=follow)
        with suppress(StoppedError), begun(settings, [name], stop, on_progress) as run:
            started = time.monotonic()
            saved = run.positions.get(name)
            base = saved if isinstance(saved, JournalPosition) else None
            source = JournalSource(settings, name=name, host=host, publisher=run.publisher, reader=reader, base=base)
            with suppress(StoppedError):
                _begin(reader, source, base, cursor, at)
                _read(run, reader, source, stop, follow=follow)
    return summary_of(
        [source.counts()] if source is not None else [],
        skipped=source.base.lines if source is not None and source.base is not None else 0,
        seconds=time.monotonic() - started,
    )


def _microseconds(since: str, settings: Settings) -> int:
    moment = parse_time(since, now=datetime.now(UTC), zone=settings.producer.zone())
    return int(moment.timestamp() * MICROSECONDS)


def name_of(host: str, directory: Path | None, namespace: str | None) -> str:
    """Return the source's key in the topic of positions."""
    which = str(directory.absolute()) if directory is not None else namespace
    return f"{host}:journal:{which}" if which else f"{host}:journal"


def _check(reader: Any, directory: Path | None, *, follow: bool) -> None:
    reader.seek_head()
    if not reader._next() and not follow:  # noqa: SLF001
        raise ConfigurationError(
            f"no entry of the journal{f' in {directory}' if directory else ''} can be read: is it empty, "
            "or is this user not in the group systemd-journal?"
        )


def _begin(
    reader: Any,
    source: JournalSource,
    base: JournalPosition | None,
    cursor: str | None,
    at: int | None,
) -> None:
    if cursor is not None:
        seek_given(reader, cursor)
    elif base is not None:
        if seek_position(reader, base):
            source.recount(base)
    elif at is not None:
        reader.seek_realtime(at)
    else:
        reader.seek_head()


def _read(run: Run, reader: Any, source: JournalSource, stop: threading.Event, *, follow: bool) -> None:
    while not stop.is_set():
        read = source.read(_AT_ONCE)
        if read:
            run.read(source.channel)
        wait = run.tick(source.channel)
        run.tell(Progress(source.counts().lines))
        if read < _AT_ONCE:
            if not follow:
                break
            if not read:
                reader.wait(wait)
    if source.counts().lines:
        source.channel.mark()
    run.tell(Progress(source.counts().lines), last=True)
