"""What every producer's run has in common: its beginning at the broker, its clockwork, its end."""

import socket
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Final

from producers.channel import Channel
from producers.positions import Positions
from producers.publishing import Publisher
from producers.summary import OnProgress, Progress
from schemas.raw import Position
from schemas.settings import Settings
from schemas.topics import topics_of

POLL_SECONDS: Final = 0.2
_TELL_SECONDS: Final = 0.25


def host_of(settings: Settings) -> str:
    """Return the host of lines that name none."""
    return settings.producer.host or socket.gethostname()


class Run:
    """One run, of one thread."""

    def __init__(
        self, settings: Settings, publisher: Publisher, positions: dict[str, Position], on_progress: OnProgress | None
    ) -> None:
        """*positions* are those saved by earlier runs. See `begun`."""
        self.publisher: Final = publisher
        self.positions: Final = positions
        self._on_progress = on_progress
        self._interval = settings.producer.position_ms / 1000
        self._marked: dict[str, float] = {}
        self._unmarked: set[str] = set()
        self._told_at = 0.0

    def read(self, channel: Channel) -> None:
        """Say that lines of *channel* were read just now."""
        self._unmarked.add(channel.source)

    def tick(self, channel: Channel) -> float:
        """Close old batches, mark positions, save what is acknowledged; return seconds until there is more of that.

        Raises TryAgainLaterError, ConfigurationError and StoppedError.
        """
        now = time.monotonic()
        due = channel.close_old(now)
        if channel.source in self._unmarked and now - self._marked.setdefault(channel.source, 0) >= self._interval:
            self._unmarked.discard(channel.source)
            self._marked[channel.source] = now
            channel.mark()
        self.publisher.serve()
        return POLL_SECONDS if due is None else max(0.001, min(POLL_SECONDS, due - now))

    def tell(self, progress: Progress, *, last: bool = False) -> None:
        """Pass *progress* on, now and then, and the last one always."""
        now = time.monotonic()
        if self._on_progress is not None and (last or now - self._told_at >= _TELL_SECONDS):
            self._told_at = now
            self._on_progress(progress._replace(figures=self.publisher.figures))


@contextmanager
def begun(
    settings: Settings, sources: Collection[str], stop: threading.Event, on_progress: OnProgress | None
) -> Iterator[Run]:
    """Reach the broker, read where *sources* were left, and give a run that ends with everything acknowledged.

    Left by an exception, what was not sent is dropped: the next run reads it again. Raises TryAgainLaterError,
    ConfigurationError and StoppedError.
    """
    asking = Positions(settings, stop)
    try:
        partitions = asking.partitions()
        place = topics_of(settings.kafka, settings.stream).positions.name
        positions = asking.of(sources, partitions[place])
    finally:
        asking.close()
    publisher = Publisher(settings, partitions, stop)
    finished = False
    try:
        yield Run(settings, publisher, positions, on_progress)
        finished = publisher.finish()
    finally:
        if not finished:
            publisher.abandon()
