"""Journal files that libsystemd leaves out without a word: found by their header, as ``journalctl`` finds them.

The header is that of systemd's ``journal-def.h``: signature, and how long the file has to be.
"""

from collections.abc import Iterator, Sequence
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


def system_journals(places: Sequence[Path]) -> list[Path]:
    """Return the files of the system's journal in *places*: daemons log there, users into files of their own."""
    return [file for place in places for kind in ("", "*/") for file in sorted(place.glob(f"{kind}system*.journal"))]


def unreadable_journal(places: Sequence[Path]) -> str:
    """Return why this user can't read the system's journal in any of *places*; empty where it can.

    libsystemd opens what it may and leaves the rest out without a word.
    """
    reason = f"there is no system*.journal in {' or '.join(map(str, places))}"
    for file in system_journals(places):
        try:
            with file.open("rb"):
                return ""
        except OSError as error:
            reason = f"{file}: {error.strerror}"
    return reason


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
