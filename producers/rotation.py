"""Which files a log lies in: the one at its path, and those that were put aside from it since it was read last."""

import os
import re
from pathlib import Path
from typing import Final, NamedTuple

import structlog

from producers.identity import is_at, state_of
from schemas.raw import FilePosition

log: structlog.stdlib.BoundLogger = structlog.get_logger()

_SUFFIXES: Final = (".gz", ".xz", ".zst", ".bz2")
_ROTATED: Final = re.compile(r"[.-]\d[\d._T-]*(?:\.log)?(?:\.(?:gz|xz|zst|bz2))?")
"""What follows the name of a log file that was put aside: ``.1``, ``.2.gz``, ``-20261123``, ``.2026-11-23.xz``."""


class Part(NamedTuple):
    """A file to read, from where on."""

    path: Path
    position: FilePosition | None = None


class _Aside(NamedTuple):
    """A file that was put aside; they sort from the oldest on."""

    modified: int
    """Microseconds since 1970."""
    length: int
    path: Path
    inode: tuple[int, int]


class Succession:
    """Which file of a log comes next, for one run."""

    def __init__(self, path: Path) -> None:
        """Nothing was read yet of the log at *path*."""
        self._path = path
        self._finished: set[tuple[int, ...]] = set()
        """Files that were read to their end, as they were then."""
        self._told: set[Path] = set()
        self._lost: FilePosition | None = None

    def next(self, before: FilePosition | None) -> Part | None:
        """Return what is to be read after *before*; None where all of it was read."""
        found = remaining(self._path, before)
        left = [part for part in found.parts if not self.was_finished(part.path)]
        aside = [part.path for part in left if part.path != self._path]
        if found.known and not self._told.issuperset(aside):
            log.info("the log was rotated", file=str(self._path), first=[str(file) for file in aside])
        elif not found.known and before is not None and before.head_length and before != self._lost:
            log.warning("the file that was read last is gone, or is another one now; reading all that was written "
                        "to since", files=[str(file) for file in (*aside, self._path)])  # fmt: skip
            self._lost = before
        self._told.update(aside)
        return left[0] if left else None

    def finish(self, status: os.stat_result) -> None:
        """Say that the file with this *status* was read to its end: it is not looked at again unless it changes."""
        self._finished.add(state_of(status))

    def was_finished(self, path: Path) -> bool:
        """Tell whether the file at *path* was read to its end and is as it was then."""
        try:
            return state_of(path.stat()) in self._finished
        except OSError:
            return False

    def missed(self, since: int) -> bool:
        """Tell whether a file that was put aside and written to *since* (microseconds) was not read."""
        return not all(map(self.was_finished, put_aside(self._path, since=since)))


class Remaining(NamedTuple):
    """What is left to read of a log."""

    parts: list[Part]
    """From the oldest on; the last is the one at the log's path."""
    known: bool
    """Whether the first is the file that was read last."""


def remaining(path: Path, position: FilePosition | None) -> Remaining:
    """Return what is left to read of the log at *path* after *position*.

    Where no file is the one of *position*, all are to be read that were written to since: what was read before is
    sent again, which makes no difference.
    """
    if position is None or is_at(position, path):
        return Remaining([Part(path, position)], known=True)
    aside = put_aside(path)
    for index, file in enumerate(aside):
        if is_at(position, file):
            return Remaining([Part(file, position), *map(Part, aside[index + 1 :]), Part(path)], known=True)
    return Remaining([*map(Part, put_aside(path, since=position.modified)), Part(path)], known=False)


def put_aside(path: Path, *, since: int = 0) -> list[Path]:
    """Return the files that were put aside from *path* and written to *since* (microseconds), oldest first.

    They lie beside it or, where it is a link, beside what it stands for. One that is just being compressed counts once.
    """
    real = path.resolve()
    found = [file for name in {path, real} for file in _beside(name)]
    plain = {file.path for file in found}
    here = _inode(path)
    files = {
        file.inode: file
        for file in sorted(found, reverse=True)
        if file.inode != here and not (file.path.suffix in _SUFFIXES and file.path.with_suffix("") in plain)
    }
    return [file.path for file in sorted(files.values()) if file.modified >= since]


def _beside(path: Path) -> list[_Aside]:
    found = []
    try:
        for entry in os.scandir(path.parent):
            if entry.name.startswith(path.name) and _ROTATED.fullmatch(entry.name, len(path.name)) and entry.is_file():
                status = entry.stat()
                inode = (status.st_dev, status.st_ino)
                found.append(_Aside(status.st_mtime_ns // 1000, len(entry.name), path.parent / entry.name, inode))
    except OSError:  # one that went while we looked is looked for again
        log.warning("the folder of the log cannot be read", folder=str(path.parent))
    return found


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
