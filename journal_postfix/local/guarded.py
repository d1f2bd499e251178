"""Our side of a server process that must not outlive us: see `guard`."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from journal_postfix.local import guard

LOG_LIMIT: Final = 10 * 1024 * 1024
"""Bytes of a server's log; one older file of that size is kept."""
TAIL_LINES: Final = 8
"""Lines of the log that an error quotes."""


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """How to run a server, and how to end it."""

    arguments: Sequence[str]
    environment: Mapping[str, str]
    directory: Path
    log: Path
    stop_signal: signal.Signals = signal.SIGTERM
    death_signal: signal.Signals = signal.SIGKILL
    """What the server gets should its guard be killed."""
    grace_seconds: float = 20.0
    """How long it may take to stop."""
    ids: tuple[int, int] | None = None
    """User and group to run as; None: ours."""


class GuardedProcess:
    """One running server."""

    def __init__(self, command: Command, lock: int) -> None:
        """Start it. *lock*: descriptor of the lock on its data, held until the server is gone, even if we are not."""
        self._command = command
        self._log_start = _size(command.log)
        reading, writing = os.pipe()
        try:
            self._guard = subprocess.Popen(  # noqa: S603 - this interpreter, our script
                [sys.executable, "-I", "-S", guard.__file__, _described(command)],
                stdin=reading,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                pass_fds=(lock,),
                start_new_session=True,  # Ctrl-C is for us: we stop it in order
            )
        except BaseException:
            os.close(writing)
            raise
        finally:
            os.close(reading)
        self._lifeline: int | None = writing
        assert self._guard.stdout is not None
        with self._guard.stdout as said:
            line = said.readline()
        self.pid: Final = int(line) if line else None
        """Process id of the server; None: it could not be started."""

    def exit_code(self) -> int | None:
        """Return the exit code, 128 + the signal's number for a signal; None while it runs."""
        return self._guard.poll()

    def stop(self) -> None:
        """End it cleanly, or by SIGKILL where it takes longer than its grace. Returns when it is gone."""
        if self._lifeline is not None:
            os.close(self._lifeline)
            self._lifeline = None
        try:
            self._guard.wait(self._command.grace_seconds + 10)
        except subprocess.TimeoutExpired:
            self._guard.kill()  # which kills the server too
            self._guard.wait()

    def kill(self) -> None:
        """End it at once, as a crash would."""
        if self.pid is not None and self._guard.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        self.stop()

    def wait(self, seconds: float) -> bool:
        """Wait so long for its end; return whether it has ended."""
        with suppress(subprocess.TimeoutExpired):
            self._guard.wait(seconds)
        return self._guard.poll() is not None

    def said(self) -> str:
        """Return the last lines of what it has logged since it was started."""
        path, start = self._command.log, self._log_start
        try:
            with path.open("rb") as file:
                file.seek(start if start <= _size(path) else 0)
                lines = file.read().decode(errors="replace").splitlines()
        except OSError:
            return ""
        telling = [line for line in lines if line.strip() and not line.startswith("\tat ")]  # not Java's stack traces
        return "\n".join(telling[-TAIL_LINES:])


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _described(command: Command) -> str:
    return json.dumps(
        {
            "command": list(command.arguments),
            "environment": dict(command.environment),
            "directory": str(command.directory),
            "log": str(command.log),
            "log_limit": LOG_LIMIT,
            "stop_signal": command.stop_signal,
            "death_signal": command.death_signal,
            "grace": command.grace_seconds,
            "ids": command.ids,
        }
    )
