"""Tell who started a stage how it is: systemd through its socket, a container's probe through the age of a file.

systemd gives the socket in ``NOTIFY_SOCKET``; what it wants to read there is stable and documented in sd_notify(3), and
so simple that no stage needs libsystemd for it. The file is named in ``JOURNAL_POSTFIX_HEARTBEAT_FILE``. Without either
nothing is told.
"""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from schemas.errors import ConfigurationError

SOCKET_VARIABLE: Final = "NOTIFY_SOCKET"
FILE_VARIABLE: Final = "JOURNAL_POSTFIX_HEARTBEAT_FILE"
_INHERITED: Final = (SOCKET_VARIABLE, FILE_VARIABLE, "WATCHDOG_USEC", "WATCHDOG_PID")
_SECONDS: Final = 1.0
"""How often a sign of life is given at most: a watchdog waits for many times that."""


class Readiness:
    """How a stage is, told as it changes. For one thread at a time."""

    def __init__(self, notify: socket.socket | None = None, file: Path | None = None) -> None:
        """Tell through *notify*, which is connected, and *file*."""
        self._notify: Final = notify
        self._file: Final = file
        self._ready = False
        self._told_at = 0.0
        self.alive_at: float | None = None
        """When it gave its last sign of life, by the monotonic clock; None before it works."""

    def ready(self) -> None:
        """Say that the stage is connected and works. Again: a sign of life."""
        self.alive_at = time.monotonic()
        if not self._ready:
            self._ready = True
            self._told_at = time.monotonic()
            self._touch()
            self._say("READY=1")
        self.alive()

    def alive(self) -> None:
        """Say that the stage's work goes on; called wherever it does, however often."""
        now = time.monotonic()
        if self._ready:
            self.alive_at = now
        if self._ready and now - self._told_at >= _SECONDS:
            self._told_at = now
            self._touch()
            self._say("WATCHDOG=1")

    def stopping(self) -> None:
        """Say that the stage ends."""
        self.alive_at = None
        if self._file is not None and self._ready:
            with suppress(OSError):
                self._file.unlink(missing_ok=True)
        self._say("STOPPING=1")

    def _say(self, text: str) -> None:
        if self._notify is not None:
            with suppress(OSError):  # systemd starts a stage anew if it hears nothing, which is all that can be done
                self._notify.send(text.encode())

    def _touch(self) -> None:
        if self._file is not None:
            with suppress(OSError):  # the same: the file's age tells
                self._file.touch()


@contextmanager
def readiness() -> Iterator[Readiness]:
    """Give what tells how this process is, and say at the end that it stops. Raises ConfigurationError.

    The processes that this one starts don't inherit it: they don't speak for us.
    """
    given = {name: os.environ.pop(name, "") for name in _INHERITED}
    file = Path(given[FILE_VARIABLE]) if given[FILE_VARIABLE] else None
    if file is not None:
        _check(file)
    notify = _connected(given[SOCKET_VARIABLE]) if given[SOCKET_VARIABLE] else None
    told = Readiness(notify, file)
    try:
        yield told
    finally:
        told.stopping()
        if notify is not None:
            notify.close()


class WatchedStop(threading.Event):
    """The event that asks a stage to stop, which its loop looks at each turn: such a look is a sign of life.

    A stage that hangs looks no more. Looks of other threads than the one that made this don't count.
    """

    def __init__(self, stop: threading.Event, on_look: Callable[[], None]) -> None:
        """Stand for *stop*; call *on_look* at each look."""
        super().__init__()
        self._stop: Final = stop
        self._on_look: Final = on_look
        self._thread: Final = threading.get_ident()

    def is_set(self) -> bool:
        """Look."""
        if threading.get_ident() == self._thread:
            self._on_look()
        return self._stop.is_set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set, for *timeout* seconds at most."""
        return self._stop.wait(timeout)

    def set(self) -> None:
        """Ask to stop."""
        self._stop.set()

    def clear(self) -> None:
        """Take that back."""
        self._stop.clear()


def _check(file: Path) -> None:
    """See that *file* can be made, and is not there until the stage is ready, not even for a moment."""
    beside = file.with_name(f"{file.name}.check")
    try:
        beside.touch()
        beside.unlink()
        file.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigurationError(f"cannot write {file}, which {FILE_VARIABLE} names: {error.strerror}") from None


def _connected(path: str) -> socket.socket:
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    try:
        notify.connect(f"\0{path[1:]}" if path.startswith("@") else path)
    except OSError as error:
        notify.close()
        raise ConfigurationError(f"cannot reach {path}, which {SOCKET_VARIABLE} names: {error.strerror}") from None
    return notify
