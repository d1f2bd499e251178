"""How far a source may be called read: as far as Kafka has acknowledged every line, and no further."""

import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from schemas.raw import Position


class Mark(NamedTuple):
    """Where a source was when a stretch of its lines ended."""

    source: str
    position: Position


class Stretch:
    """The records sent between two marks."""

    __slots__ = ("began", "mark", "waiting")

    def __init__(self) -> None:
        """Nothing is sent yet."""
        self.began: float | None = None
        """When its first record was sent."""
        self.waiting = 0
        """Records not acknowledged."""
        self.mark: Mark | None = None
        """What may be saved once this stretch and those before it are acknowledged; None while it lasts."""


class Acknowledgements:
    """Stretches in the order in which they were sent. Not to be used by two threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Nothing is sent yet; times are those of *clock*."""
        self._clock = clock
        self._ready_since: float | None = None
        self._taken_since: float | None = None
        self._stretches: deque[Stretch] = deque([Stretch()])
        self._ready: dict[str, Position] = {}

    def sent(self) -> Stretch:
        """Count a record that is about to be sent; give what this returns to `acknowledged`."""
        stretch = self._stretches[-1]
        stretch.waiting += 1
        if stretch.began is None:
            stretch.began = self._clock()
        return stretch

    def acknowledged(self, stretch: Stretch) -> None:
        """Count a record's acknowledgement. They may come in any order."""
        stretch.waiting -= 1
        self._settle()

    def mark(self, source: str, position: Position) -> None:
        """Say that the records sent so far hold every line of *source* up to *position*."""
        self._stretches[-1].mark = Mark(source, position)
        self._stretches.append(Stretch())
        self._settle()

    def take_ready(self) -> dict[str, Position]:
        """Return the latest positions that may be saved, by source; each is returned once."""
        ready, self._ready = self._ready, {}
        if ready:
            self._taken_since, self._ready_since = self._earliest(self._taken_since, self._ready_since), None
        return ready

    def saved(self) -> None:
        """Say that all positions that were taken are saved."""
        self._taken_since = None

    @property
    def unsaved_seconds(self) -> float:
        """For how long the oldest record has waited for its position to be saved; 0 where none does. For any thread."""
        since = self._earliest(self._taken_since, self._ready_since, self._stretches[0].began)
        return 0.0 if since is None else self._clock() - since

    @staticmethod
    def _earliest(*times: float | None) -> float | None:
        """Return the first that is known: they are in order."""
        return next((time for time in times if time is not None), None)

    def _settle(self) -> None:
        stretches = self._stretches
        while (mark := stretches[0].mark) is not None and stretches[0].waiting == 0:
            self._ready[mark.source] = mark.position
            self._ready_since = self._earliest(self._ready_since, stretches[0].began)
            stretches.popleft()
