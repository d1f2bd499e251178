"""How far a source may be called read: as far as Kafka has acknowledged every line, and no further."""

from collections import deque
from typing import NamedTuple

from schemas.raw import Position


class Mark(NamedTuple):
    """Where a source was when a stretch of its lines ended."""

    source: str
    position: Position


class Stretch:
    """The records sent between two marks."""

    __slots__ = ("mark", "waiting")

    def __init__(self) -> None:
        """Nothing is sent yet."""
        self.waiting = 0
        """Records not acknowledged."""
        self.mark: Mark | None = None
        """What may be saved once this stretch and those before it are acknowledged; None while it lasts."""


class Acknowledgements:
    """Stretches in the order in which they were sent. Not to be used by two threads."""

    def __init__(self) -> None:
        """Nothing is sent yet."""
        self._stretches: deque[Stretch] = deque([Stretch()])
        self._ready: dict[str, Position] = {}

    def sent(self) -> Stretch:
        """Count a record that is about to be sent; give what this returns to `acknowledged`."""
        stretch = self._stretches[-1]
        stretch.waiting += 1
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
        return ready

    def _settle(self) -> None:
        stretches = self._stretches
        while (mark := stretches[0].mark) is not None and stretches[0].waiting == 0:
            self._ready[mark.source] = mark.position
            stretches.popleft()
