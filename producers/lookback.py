"""The lines that a source had last, for one that only says how often the line before it came again.

How far back it looks is fixed in bytes, so that a later run, which reads these bytes again, finds the same line.
"""

from typing import Final

from producers.frames import Frame, frame_of

REACH: Final = 16 * 1024
"""Bytes before a line in which the one that it stands for may begin."""

_MOST_LINES: Final = 100
_AGAIN: Final = b"last message repeated "


class Lookback:
    """The latest text of one source: `REACH` bytes of it, and the block that is being read."""

    __slots__ = ("_before", "_block", "_longest", "_start")

    def __init__(self, longest: int, offset: int = 0) -> None:
        """Know nothing yet, at *offset*. A line of more than *longest* bytes is none."""
        self._longest = longest
        self._before = b""
        self._block = b""
        self._start = offset

    def begin(self, block: bytes, offset: int) -> None:
        """Go on with the whole lines of *block*, which begins at *offset*."""
        if self._start + len(self._block) != offset:  # a line that was too long lies between
            self._before = b""
        elif len(self._block) >= REACH:
            self._before = self._block[-REACH:]
        else:
            self._before = (self._before + self._block)[-REACH:]
        self._block, self._start = block, offset

    def anchor(self, offset: int) -> int:
        """Return from where reading again finds what a line at *offset* or later may stand for."""
        first = offset - REACH
        if first >= self._start:
            return self._start + self._block.find(b"\n", first - self._start) + 1
        began = self._start - len(self._before)
        if first <= began and len(self._before) < REACH:
            return began
        return began + self._before.find(b"\n", max(0, first - began)) + 1

    def tail(self, offset: int, size: int) -> bytes:
        """Return the *size* bytes before *offset*, fewer where they are not known."""
        length = offset - self._start
        if not 0 <= length <= len(self._block):
            return b""
        if length >= size:
            return self._block[length - size : length]
        return self._before[len(self._before) - min(len(self._before), size - length) :] + self._block[:length]

    def meant(self, frame: Frame, offset: int) -> Frame | None:
        """Return the line that *frame*, which begins at *offset*, stands for, taken apart; None if it is gone."""
        text = (self._before + self._block[: offset - self._start])[-REACH:]
        whole = len(text) < REACH  # else the text may begin amid a line
        end = len(text)
        for _ in range(_MOST_LINES):
            begin = text.rfind(b"\n", 0, max(0, end - 1)) + 1
            if not end or not (begin or whole):
                return None
            line = text[begin : end - 1]
            if len(line) > self._longest:
                return None
            found = None if _AGAIN in line else frame_of(line)
            if found is not None and found.host == frame.host:
                if frame.program in {b"", b"syslogd"}:
                    return found if found.program else None
                if (found.program, found.pid) == (frame.program, frame.pid):
                    return found
            end = begin
        return None
