"""The data folder: who runs in it, and where others reach what runs there."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Literal

import msgspec

from journal_postfix.local.locks import LockHeldError, cannot_write, locked, made_folder
from schemas.errors import ConfigurationError
from schemas.settings import DatabaseSettings

Kind = Literal["up", "command"]

_LOCK: Final = "lock"
_RUNNING: Final = "running.json"
_GUESTS: Final = "guests.lock"
_HELD_SINCE_SECONDS: Final = 60.0
"""How long ``up`` waits for a command that has started the parts for itself."""


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """What runs in a data folder: ``running.json``."""

    pid: int
    kind: Kind
    """``up``, or a command that needs the parts for as long as it takes."""
    bootstrap_servers: str | None = None
    """Of the embedded broker, where it runs."""
    database: dict[str, str | int | None] | None = None
    """How to reach the embedded database, where it runs."""


class DataDir:
    """One data folder."""

    def __init__(self, path: Path) -> None:
        self.path: Final = path.absolute()
        self.broker: Final = self.path / "kafka"
        self.database: Final = self.path / "postgresql"
        self.logs: Final = self.path / "log"

    def make(self) -> None:
        """Make the folder where it is missing. Raises ConfigurationError."""
        made_folder(self.path)
        made_folder(self.logs)
        try:
            if os.geteuid() == 0:
                # The database does not run as root: let it pass through to its own folder. The others stay closed.
                self.path.chmod(self.path.stat().st_mode | 0o011)
        except OSError as error:
            raise cannot_write(self.path, error) from error

    @contextmanager
    def held(self, kind: Kind, wait_seconds: float = 0.0) -> Iterator[None]:
        """Be the one that runs here. Raises LockHeldError, ConfigurationError where the folder can't be written."""
        with locked(self.path / _LOCK, wait_seconds) as lock:
            self._forget()
            os.ftruncate(lock, 0)
            os.pwrite(lock, json.dumps({"pid": os.getpid(), "kind": kind}).encode(), 0)
            try:
                yield
            finally:
                self._forget()
                os.ftruncate(lock, 0)

    def holder(self) -> Running | None:
        """Return who holds the folder, by its own account; None where nobody who lives says so."""
        with suppress(OSError, msgspec.DecodeError):
            holder = msgspec.json.decode((self.path / _LOCK).read_bytes(), type=Running)
            return holder if _lives(holder.pid) else None
        return None

    def tell(self, running: Running) -> None:
        """Say what runs here and how to reach it. Raises ConfigurationError."""
        unfinished = self.path / f"{_RUNNING}.{os.getpid()}"
        try:
            with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:  # noqa: PTH123
                file.write(msgspec.json.encode(running))
            unfinished.rename(self.path / _RUNNING)
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def running(self) -> Running | None:
        """Return what runs here, by its own account; it may be gone. Raises ConfigurationError for another user's."""
        try:
            return msgspec.json.decode((self.path / _RUNNING).read_bytes(), type=Running)
        except PermissionError:
            raise ConfigurationError(
                f"cannot read {self.path / _RUNNING}: run this as the user that runs `journal-postfix up`"
            ) from None
        except (OSError, msgspec.DecodeError):
            return None

    @contextmanager
    def visited(self) -> Iterator[None]:
        """Be a guest: a command that started the parts for itself keeps them until its guests are gone."""
        with locked(self.path / _GUESTS, _HELD_SINCE_SECONDS, shared=True):
            yield

    def see_guests_off(self) -> None:
        """Let no further guest in, and wait, not for ever, until none is left."""
        self._forget()
        with suppress(LockHeldError), locked(self.path / _GUESTS, _HELD_SINCE_SECONDS):
            return

    def _forget(self) -> None:
        (self.path / _RUNNING).unlink(missing_ok=True)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True


def database_record(database: DatabaseSettings) -> dict[str, str | int | None]:
    """Return how to reach the embedded database; it has no secrets."""
    return {"host": database.host, "port": database.port, "user": database.user, "dbname": database.dbname}
