"""Cut a stream of bytes into blocks of whole lines, and hold no more of an overlong line than its head."""

from typing import Final, NamedTuple

from schemas.dead_letters import MAX_VALUE

BLOCK: Final = 256 * 1024
"""Bytes to read at once: enough to spread the cost of a block, few enough to stay in the processor's cache."""


class Block(NamedTuple):
    """Whole lines, each with its newline."""

    lines: bytes


class Overlong(NamedTuple):
    """A line that is too long to be one."""

    head: bytes
    length: int
    """Of the whole line, without its newline."""


class Void(NamedTuple):
    """NULs before a line: what a crash left, or a writer that goes on where the file was before it was truncated."""

    length: int


Found = Block | Overlong | Void


class Blocks:
    """Bytes in, in pieces of any size; whole lines out. Where the pieces are cut makes no difference to the lines."""

    def __init__(self, longest: int) -> None:
        """Hold no line that is still without end after *longest* bytes."""
        self._longest = longest
        self._rest = b""
        self._overlong = 0
        self._amid_void = False

    @property
    def unfinished(self) -> int:
        """Return how many bytes of a line without its end came so far."""
        return self._overlong or len(self._rest)

    def feed(self, piece: bytes) -> list[Found]:
        """Take a piece, return what it completes."""
        found: list[Found] = []
        if self._amid_void:
            text = piece.lstrip(b"\0")
            found.append(Void(len(piece) - len(text)))
            piece, self._amid_void = text, not text
        if self._overlong:
            end = piece.find(b"\n")
            if end < 0:
                self._hold(piece)
                return found
            self._rest += piece[: max(0, min(end, MAX_VALUE - len(self._rest)))]
            found.append(Overlong(self._rest, self._overlong + end))
            self._rest, self._overlong = b"", 0
            piece = piece[end + 1 :]
        last = piece.rfind(b"\n") + 1
        if last:
            found.append(Block(self._rest + piece[:last] if self._rest else piece[:last]))
            self._rest = piece[last:]
        else:
            self._rest += piece
        if len(self._rest) > self._longest and self._rest.startswith(b"\0"):
            text = self._rest.lstrip(b"\0")
            found.append(Void(len(self._rest) - len(text)))
            self._rest, self._amid_void = text, not text
        if len(self._rest) > self._longest:
            self._overlong = len(self._rest)
            self._rest = self._rest[:MAX_VALUE]
        return found

    def end(self) -> Block | Overlong | None:
        """Return the last line, where it has no newline (a block gets one); nothing is left then."""
        rest, length = self._rest, self._overlong
        self._rest, self._overlong = b"", 0
        if length:
            return Overlong(rest, length)
        return Block(rest + b"\n") if rest else None

    def _hold(self, piece: bytes) -> None:
        self._overlong += len(piece)
        self._rest += piece[: MAX_VALUE - len(self._rest)]
