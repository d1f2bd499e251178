"""Know a log file again by how it begins, whatever it is called now and whether it was compressed meanwhile."""

import hashlib
import os
import re
from pathlib import Path
from typing import Final

from producers.compression import LogText, UnreadableError
from schemas.raw import FilePosition

HEAD: Final = 1024
"""Bytes of text that a file is known by; fewer where it has fewer."""

_ROTATED: Final = re.compile(r"[.-]\d[\d._T-]*(?:\.log)?(?:\.(?:gz|xz|zst|bz2))?")
"""What follows the name of a log file that was put aside: ``.1``, ``.2.gz``, ``-20261123``, ``.2026-11-23.xz``."""


def digest_of(head: bytes) -> str:
    """Return the name that goes with a file's first bytes."""
    return hashlib.blake2b(head, digest_size=16).hexdigest()


def is_at(position: FilePosition, path: Path) -> bool:
    """Tell whether the file at *path* is the one of *position*, and still has all that was read of it."""
    try:
        with LogText(path) as text:
            if text.compression is None and text.status().st_size < position.offset:
                return False
            return digest_of(text.read_exactly(position.head_length)[: position.head_length]) == position.head_digest
    except (OSError, UnreadableError):
        return False


def rotated(path: Path) -> list[Path]:
    """Return the files beside *path* that were put aside from it, oldest first, plain before compressed."""
    try:
        beside = [
            (entry.stat().st_mtime, len(entry.name), path.parent / entry.name)
            for entry in os.scandir(path.parent)
            if entry.name.startswith(path.name) and _ROTATED.fullmatch(entry.name, len(path.name)) and entry.is_file()
        ]
    except OSError:
        return []
    return [found for _, _, found in sorted(beside)]


def since(path: Path, position: FilePosition) -> list[Path]:
    """Return the put-aside files of *path* from that of *position* on, oldest first; none where it is gone."""
    candidates = rotated(path)
    for index, candidate in enumerate(candidates):
        if is_at(position, candidate):
            copies = {candidate.with_name(candidate.name + suffix) for suffix in (".gz", ".xz", ".zst", ".bz2")}
            return [candidate, *(later for later in candidates[index + 1 :] if later not in copies)]
    return []
