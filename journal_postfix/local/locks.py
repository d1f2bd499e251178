"""Locks on folders: held by one process, given up by the kernel when it ends, inherited by the guards of servers."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from schemas.errors import ConfigurationError

_POLL_SECONDS: Final = 0.05  # the kernel offers no wait for a lock that ends by itself, short of SIGALRM


class LockHeldError(Exception):
    """Another process holds the lock."""


@contextmanager
def locked(path: Path, wait_seconds: float = 0.0, *, shared: bool = False) -> Iterator[int]:
    """Hold the lock file *path*, alone or *shared*; yield its descriptor.

    Children may inherit the descriptor: they then hold the lock too. Raises LockHeldError where somebody else holds it
    that long, ConfigurationError where it can't be written.
    """
    how = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise cannot_write(path.parent, error) from error
    try:
        deadline = time.monotonic() + wait_seconds
        while not _taken(descriptor, how):
            if time.monotonic() >= deadline:
                raise LockHeldError(str(path))
            time.sleep(_POLL_SECONDS)
        yield descriptor
    finally:
        os.close(descriptor)


def _taken(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def made_folder(path: Path, mode: int = 0o700) -> Path:
    """Make folder *path* where it does not exist. Raises ConfigurationError."""
    try:
        path.mkdir(mode=mode, parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error
    return path


def is_there(path: Path) -> bool:
    """Tell whether *path* exists. Raises PermissionError where we may not know."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def cannot_write(path: Path, error: OSError) -> ConfigurationError:
    """Return the error that says so."""
    return ConfigurationError(
        f"cannot write in {path}: {error.strerror or error}. Give another folder with --data-dir or "
        "JOURNAL_POSTFIX_DATA_DIR (for downloads: JOURNAL_POSTFIX_CACHE_DIR)"
    )
