"""Know a log file again by its text, whatever it is called now and whether it was compressed meanwhile."""

import hashlib
import os
from functools import lru_cache
from pathlib import Path
from typing import Final

from producers.compression import LogText, UnreadableError
from schemas.raw import FilePosition

HEAD: Final = 1024
"""Bytes of text that a file is known by; fewer where it has fewer."""

TAIL: Final = 128
"""Bytes before a position that have to be there still: a crash may cost a file its end, which then grows anew."""


def digest_of(text: bytes) -> str:
    """Return the name that goes with a file's first bytes, or with those before a position."""
    return hashlib.blake2b(text, digest_size=16).hexdigest()


def is_at(position: FilePosition, path: Path) -> bool:
    """Tell whether the file at *path* is the one of *position*, and still has all that was read of it."""
    if not position.head_length:  # of a file that was empty: any would do
        return False
    try:
        return _is_at(position, path, state_of(path.stat()))
    except (OSError, UnreadableError):
        return False


def state_of(status: os.stat_result) -> tuple[int, ...]:
    """Return what tells a file from others, and from itself before it changed."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


@lru_cache(maxsize=256)  # who follows a log asks again and again, of files that may be large and compressed
def _is_at(position: FilePosition, path: Path, _state: tuple[int, ...]) -> bool:
    with LogText(path) as text:
        if text.compression is None and text.status().st_size < position.offset:
            return False
        if digest_of(text.read_exactly(position.head_length)[: position.head_length]) != position.head_digest:
            return False
        text.rewind()
        tail = text.skip(position.offset - position.tail_length)
        tail += text.read_exactly(position.tail_length - len(tail))
        return not position.tail_length or digest_of(tail[: position.tail_length]) == position.tail_digest
