"""Where the embedded PostgreSQL puts its socket: a folder that only its account can enter, with a path short enough."""

import os
import stat
import tempfile
from pathlib import Path
from typing import Final

from journal_postfix.local.account import Account

LONGEST: Final = 107
"""Bytes of a Unix socket's path, on Linux."""
PORT: Final = 5432
_SOCKET: Final = f".s.PGSQL.{PORT}"


def fits(folder: Path) -> bool:
    """Tell whether a socket can be in *folder*. The database reads a comma as the end of a folder's name."""
    return len(os.fsencode(folder / _SOCKET)) <= LONGEST and "," not in str(folder) and not str(folder).startswith("@")


def made_socket_dir(folder: Path, account: Account) -> Path:
    """Return a folder for the socket of the database in *folder*, there if its path is short enough.

    Else it is a private one among the temporary files, remembered in *folder*. Raises OSError.
    """
    inside = folder / "run"
    if fits(inside):
        inside.mkdir(mode=0o700, exist_ok=True)
        inside.chmod(0o700)
        account.own(inside)
        return inside
    remembered = folder / "socket-dir"
    try:
        outside = Path(remembered.read_text(encoding="utf-8"))
        found = outside.lstat()
    except (OSError, ValueError):
        pass
    else:
        if stat.S_ISDIR(found.st_mode) and found.st_uid == _owner(account) and stat.S_IMODE(found.st_mode) == 0o700:  # noqa: PLR2004
            return outside
    outside = Path(tempfile.mkdtemp(prefix="journal-postfix-", dir=_short_folder()))
    account.own(outside)
    remembered.write_text(str(outside), encoding="utf-8")
    return outside


def forget_socket_dir(folder: Path) -> None:
    """Remove a folder among the temporary files that was made for *folder*."""
    remembered = folder / "socket-dir"
    try:
        Path(remembered.read_text(encoding="utf-8")).rmdir()
        remembered.unlink()
    except (OSError, ValueError):
        return


def _owner(account: Account) -> int:
    return account.ids[0] if account.ids else os.geteuid()


def _short_folder() -> str:
    usual = tempfile.gettempdir()
    return usual if fits(Path(usual) / "journal-postfix-12345678") else "/tmp"  # noqa: S108 - the folder in it is private
