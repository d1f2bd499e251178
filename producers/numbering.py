"""Number identical lines of one second, so that two are two and one that is read twice is one.

Counts are kept of two seconds, those that the log was in latest: lines of neighbouring seconds come mixed. Reading
again from where the older of the two was entered gives the same numbers, whatever came before: that is the anchor.
"""

from typing import Final

MOST_LINES: Final = 500_000
"""Distinct lines of one second that are remembered, about: memory is bounded, whatever the input."""


class Second:
    """Lines seen in one second."""

    __slots__ = ("at", "entered", "repeats", "seen")

    def __init__(self, at: int, entered: int) -> None:
        """Begin the second *at* (microseconds), entered at the position *entered*."""
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
    """The two seconds that the log was in latest."""

    def __init__(self, position: int = 0) -> None:
        """Know no line yet, at *position*."""
        self.current = Second(-1, position)
        self.other: Second | None = None

    def enter(self, at: int, position: int) -> Second:
        """Return the second *at*, which the line at *position* is in."""
        current, other = self.current, self.other
        if at == current.at:
            return current
        if other is not None and at == other.at:
            self.current, self.other = other, current
        else:
            self.current, self.other = Second(at, position), current if current.at >= 0 else None
        return self.current

    def anchor(self) -> int:
        """Return the position from which reading again gives the same numbers."""
        if self.other is None:
            return self.current.entered
        return min(self.current.entered, self.other.entered)
