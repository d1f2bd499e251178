"""Refuse what can't be a mail log, before a line of it is sent or when all were read, and say what to do."""

import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from producers.compression import LogText, UnreadableError
from producers.frames import frame_of
from producers.intake import Counts
from schemas.errors import ConfigurationError

_LOOKED_AT: Final = 64 * 1024


def check_all(files: Sequence[Path], *, follow: bool) -> None:
    """Look at every file. Raises ConfigurationError for the first that can't be read.

    With *follow*, a file may be empty or not there yet.
    """
    if not files:
        raise ConfigurationError("no log file is given: name at least one")
    for file in files:
        _check(file, follow=follow)


def check_read(counts: Counts, where: str) -> None:
    """Look at what became of the lines of *where*. Raises ConfigurationError if none of them was Postfix's."""
    if counts.lines and counts.sent == counts.unframed:
        raise ConfigurationError(
            f"no Postfix line among {counts.lines} lines of {where}: is it another program's log? "
            "A syslog_name of your own goes into the setting producer.programs"
        )


def _check(file: Path, *, follow: bool) -> None:
    try:
        status = file.stat()
        if stat.S_ISDIR(status.st_mode):
            raise ConfigurationError(f"{file} is a directory: name the log files in it")
        if not stat.S_ISREG(status.st_mode):
            raise ConfigurationError(f"{file} is not a regular file: pipe it into `journal-postfix produce stdin`")
        with LogText(file) as text:
            head = text.read_exactly(_LOOKED_AT)
            while head.startswith(b"\0") and (more := text.read_exactly(_LOOKED_AT)):
                head = head.lstrip(b"\0") + more  # NULs that a crash or a truncation left
    except FileNotFoundError:
        if follow and file.parent.is_dir():
            return
        raise ConfigurationError(f"{file} does not exist: check its name") from None
    except PermissionError:
        raise ConfigurationError(
            f"{file} may not be read by this user: run as one that may (on Debian, members of group adm)"
        ) from None
    except (OSError, UnreadableError) as error:
        raise ConfigurationError(f"{file} cannot be read: {error}") from None
    if not head:
        if follow:
            return
        raise ConfigurationError(f"{file} is empty: there is nothing to read (--follow waits for lines)")
    _check_text(file, head)


def _check_text(file: Path, head: bytes) -> None:
    lines = head.split(b"\n")
    if len(lines) > 1:
        lines.pop()  # cut off, or empty
    if any(frame_of(line) is not None for line in lines):
        return
    if b"\0" in head:
        raise ConfigurationError(
            f"{file} is a binary file, not a log: name a text file (.gz, .xz, .zst, .bz2 work too)"
        )
    raise ConfigurationError(
        f"{file} does not look like a mail log: none of its first {len(lines)} lines begins with a time "
        "(as in `Nov 27 16:19:22 mx1 postfix/smtpd[42]: …` or `2026-11-27T16:19:22+01:00 …`)"
    )
