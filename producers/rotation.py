"""Which files a log lies in: the one at its path, and those that were put aside from it since it was read last."""

import os
import re
from pathlib import Path
from typing import Final, NamedTuple

import structlog

from producers.identity import is_at
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
