"""PostgreSQL refuses to run as root: find or make the account that it runs as then."""

import os
import pwd
import shutil
import subprocess
from pathlib import Path
from typing import Final

import msgspec

from schemas.errors import ConfigurationError

ACCOUNT: Final = "journal-postfix-db"

WAYS_OUT: Final = "run this as another user, or use your own PostgreSQL with --database-host HOST"

_USERADD_OPTIONS: Final = (
    "--system",
    "--user-group",
    "--no-create-home",
    "--home-dir=/nonexistent",
    "--shell=/usr/sbin/nologin",
    "--comment=journal-postfix embedded database",
)


class Account(msgspec.Struct, frozen=True):
    """Who the database runs as."""

    name: str
    ids: tuple[int, int] | None
    """User and group to change to; None: it runs as we do."""

    def own(self, path: Path) -> None:
        """Give *path* to the account. Raises OSError."""
        if self.ids is not None:
            os.chown(path, *self.ids)

    def may_enter(self, folder: Path) -> bool:
        """Tell whether the account can reach *folder*."""
        if self.ids is None:
            return True
        return self.runs(["/bin/sh", "-c", 'cd -- "$1"', "sh", str(folder)])

    def runs(self, command: list[str]) -> bool:
        """Tell whether the account can run *command* and it succeeds."""
        user, group = self.ids or (None, None)
        try:
            done = subprocess.run(  # noqa: S603 - commands of our own
                command,
                user=user,
                group=group,
                extra_groups=[] if self.ids else None,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                check=False,
            )
        except OSError:
            return False
        return done.returncode == 0


def database_account() -> Account:
    """Return our own account, or for root the one of the name ACCOUNT, made where it is missing.

    Raises ConfigurationError where none can be made.
    """
    if os.geteuid() != 0:
        try:
            return Account(pwd.getpwuid(os.geteuid()).pw_name, None)
        except KeyError:
            raise ConfigurationError(
                f"the embedded PostgreSQL needs a user with a name; user id {os.geteuid()} has none: {WAYS_OUT}"
            ) from None
    try:
        entry = pwd.getpwnam(ACCOUNT)
    except KeyError:
        entry = _made()
    return Account(entry.pw_name, (entry.pw_uid, entry.pw_gid))


def _made() -> pwd.struct_passwd:
    useradd = shutil.which("useradd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    try:
        if useradd is None:
            raise FileNotFoundError("there is no useradd")
        subprocess.run(  # noqa: S603 - root's own tool
            [useradd, *_USERADD_OPTIONS, ACCOUNT],
            check=True,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
        )
        return pwd.getpwnam(ACCOUNT)
    except (OSError, subprocess.CalledProcessError, KeyError) as error:
        try:
            return pwd.getpwnam(ACCOUNT)  # another process may have made it at the same time
        except KeyError:
            said = error.stderr.strip() if isinstance(error, subprocess.CalledProcessError) else str(error)
            raise ConfigurationError(
                f"PostgreSQL does not run as root, and the user {ACCOUNT} for it could not be made ({said}): "
                f"make it (useradd --system {ACCOUNT}), {WAYS_OUT}"
            ) from None
