"""Number identical lines of one second, so that two are two and one that is read twice is one.

Counts are kept of a few seconds, those that the log was in latest: lines of neighbouring seconds come mixed, and so do
those of hosts whose clocks differ. Reading again from where the first of them was entered gives the same numbers,
whatever came before: that is the anchor.
"""

from typing import Final

MOST_LINES: Final = 100_000
"""Distinct lines of one second that are remembered: memory is bounded, whatever the input."""

_SECONDS: Final = 16
"""Seconds of which counts are kept."""


class Second:
    """Lines seen in one second."""

    __slots__ = ("at", "entered", "repeats", "seen")

    def __init__(self, at: int | bytes, entered: int) -> None:
        """Begin the second *at*, entered at the position *entered*."""
        self.at = at
        self.entered = entered
        self.seen: set[int] = set()
        """Hashes of lines."""
        self.repeats: dict[int, int] = {}
        """How many more there were of those that came more than once."""

    def number(self, line: int) -> int:
        """Count one more of the line with this hash; return how many came before it."""
        if line in self.seen:
            return self.again(line)
        self.seen.add(line)
        if len(self.seen) > MOST_LINES:
            self.forget()
        return 0

    def again(self, line: int) -> int:
        """Do as `number` does for a line that is in `seen`."""
        number = self.repeats.get(line, 0) + 1
        self.repeats[line] = number
        return number

    def forget(self) -> None:
        """Begin anew: no machine logs that much in a second, it is text without times."""
        self.seen.clear()
        self.repeats.clear()


class Numbering:
    """The seconds that the log was in latest."""

    def __init__(self, position: int = 0) -> None:
        """Know no line yet, at *position*."""
        self.current = Second(-1, position)
        self._latest: dict[int | bytes, Second] = {}
        """By their time, the one that was entered last at the end."""

    def enter(self, at: int | bytes, position: int) -> Second:
        """Return the second *at* (microseconds, or a stamp as it stands there), which the line at *position* is in."""
        if at != self.current.at:
            self.current = self._latest.pop(at) if at in self._latest else Second(at, position)
            self._latest[at] = self.current
            if len(self._latest) > _SECONDS:
                del self._latest[next(iter(self._latest))]
        return self.current

    def anchor(self) -> int:
        """Return the position from which reading again gives the same numbers."""
        return min((second.entered for second in self._latest.values()), default=self.current.entered)
