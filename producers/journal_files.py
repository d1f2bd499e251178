"""Journal files that libsystemd leaves out without a word: found by their header, as ``journalctl`` finds them.

The header is that of systemd's ``journal-def.h``: signature, and how long the file has to be.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

_PLACES: Final = (Path("/var/log/journal"), Path("/run/log/journal"))
_SIGNATURE: Final = b"LPKSHHRH"
_LENGTHS: Final = slice(88, 104)
"""Where the lengths of the header and of what follows it stand."""


def damaged_files(directory: Path | None) -> Iterator[tuple[str, str]]:
    """Give the files of *directory* (None: of this host) that cannot be read at all, each with the reason."""
    for place in (directory,) if directory is not None else _PLACES:
        for file in sorted([*place.glob("*.journal"), *place.glob("*/*.journal")]):
            reason = _reason(file)
            if reason:
                yield str(file), reason


def _reason(file: Path) -> str:
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            header = stream.read(_LENGTHS.stop)
    except OSError:  # it was rotated away, or is another user's
        return ""
    if len(header) < _LENGTHS.stop:
        return "it is cut off"
    if not header.startswith(_SIGNATURE):
        return "it does not begin as a journal file does"
    lengths = header[_LENGTHS]
    needed = int.from_bytes(lengths[:8], "little") + int.from_bytes(lengths[8:], "little")
    return f"it is cut off: {size} bytes of {needed}" if size < needed else ""
