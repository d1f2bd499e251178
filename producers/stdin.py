"""A pipe as a source: lines to its end. It cannot be read again, so a run sends whatever comes."""

import os
import selectors
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import BinaryIO

from producers.blocks import BLOCK, Blocks
from producers.channel import Channel
from producers.checks import check_read
from producers.clock import Clock
from producers.intake import Counts, Intake
from producers.publishing import Publisher, StoppedError
from producers.run import POLL_SECONDS, Run, begun, host_of
from producers.summary import OnProgress, Progress, Summary, summary_of
from schemas.raw import StreamPosition
from schemas.settings import Settings


def run(
    settings: Settings, stream: BinaryIO, *, stop: threading.Event, on_progress: OnProgress | None = None
) -> Summary:
    """Send the lines of *stream* until it ends or *stop* is set. Raises ConfigurationError and TryAgainLaterError."""
    host = host_of(settings)
    name = f"{host}:stdin"
    source: _Source | None = None
    started = time.monotonic()
    with suppress(StoppedError), begun(settings, [name], stop, on_progress) as run:
        started = time.monotonic()
        base = run.positions.get(name)
        source = _Source(
            settings, name, host, run.publisher, base if isinstance(base, StreamPosition) else StreamPosition()
        )
        with suppress(StoppedError):
            source.read_all(run, stream, stop)
    counts = source.intake.counts() if source is not None else Counts()
    if not stop.is_set():
        check_read(counts, "standard input")
    return summary_of([counts], skipped=0, seconds=time.monotonic() - started)


class _Source:
    def __init__(self, settings: Settings, name: str, host: str, publisher: Publisher, base: StreamPosition) -> None:
        self._base = base
        self._channel = Channel(settings, name, host, publisher, self._position)
        self._longest = settings.producer.max_line_bytes
        self.intake = Intake(
            clock=Clock(settings.producer.zone(), now=datetime.now(UTC)),
            batching=self._channel.batching,
            origins=self._channel.origins,
            longest=self._longest,
            bury=self._channel.bury,
        )

    def read_all(self, run: Run, stream: BinaryIO, stop: threading.Event) -> None:
        blocks = Blocks(self._longest)
        done = 0
        for piece in _pieces(run, self._channel, stream, stop):
            done += len(piece)
            for found in blocks.feed(piece):
                self.intake.feed(found)
            run.read(self._channel)
            run.tick(self._channel)
            run.tell(Progress(self.intake.counts().lines, done))
        last = blocks.end()
        if last is not None:
            self.intake.feed(last)
        self._channel.mark()
        run.tell(Progress(self.intake.counts().lines, done, done), last=True)

    def _position(self) -> StreamPosition:
        base, counts = self._base, self.intake.counts()
        return StreamPosition(
            lines=base.lines + counts.lines, ignored=base.ignored + counts.ignored, dead=base.dead + counts.dead
        )


def _pieces(run: Run, channel: Channel, stream: BinaryIO, stop: threading.Event) -> Iterator[bytes]:
    """Yield what comes, as it comes. While nothing comes, batches are sent when they are due."""
    descriptor = _descriptor(stream)
    if descriptor is None:
        while not stop.is_set() and (piece := stream.read(BLOCK)):
            yield piece
        return
    wait = POLL_SECONDS
    with selectors.DefaultSelector() as selector:
        try:
            selector.register(descriptor, selectors.EVENT_READ)
        except PermissionError:  # a regular file: there is always something, or its end
            ready = True
        else:
            ready = False
        while not stop.is_set():
            if ready or selector.select(wait):
                piece = os.read(descriptor, BLOCK)
                if not piece:
                    return
                yield piece
            wait = run.tick(channel)


def _descriptor(stream: BinaryIO) -> int | None:
    try:
        return stream.fileno()
    except OSError:
        return None
