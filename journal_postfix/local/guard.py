"""Runs one server for its parent: stops it cleanly when the parent is gone, however it went, and bounds its log.

A script of its own (standard library only, one thread), started by `guarded.GuardedProcess`. Its stdin is a pipe that
the parent holds open and never writes to; its end is the order to stop. The server gets *death_signal* if this process
is killed, so nothing is left behind in that case either. Arguments: one JSON object, see `run`.
"""

import contextlib
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
from typing import Any

PR_SET_PDEATHSIG = 1
CHUNK = 64 * 1024


def main() -> int:
    """Run what the argument describes; return the exit code."""
    return run(**json.loads(sys.argv[1]))


def run(
    *,
    command: list[str],
    environment: dict[str, str],
    directory: str,
    log: str,
    log_limit: int,
    stop_signal: int,
    death_signal: int,
    grace: float,
    ids: list[int] | None,
) -> int:
    """Run *command* until it ends, or until stdin does; return its exit code, 128 + the signal's number for a signal.

    log_limit: bytes after which the log becomes ``LOG.1``. grace: seconds from *stop_signal* to SIGKILL.
    ids: user and group to run as.
    """
    woken = _wake_on_signals()
    output = _Log(log, log_limit)
    try:
        server = _start(command, environment, directory, death_signal, ids)
    except OSError as error:
        output.write(f"cannot run {command[0]}: {error}\n".encode())
        return 127
    _tell_parent(server.pid)
    code = _look_after(server, output, woken, stop_signal, grace)
    return code if code >= 0 else 128 - code


def _wake_on_signals() -> int:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    return reading


def _start(
    command: list[str], environment: dict[str, str], directory: str, death_signal: int, ids: list[int] | None
) -> "subprocess.Popen[bytes]":
    guard = os.getpid()
    libc = ctypes.CDLL(None)

    def tie_to_guard() -> None:
        # After the change of user, which would undo it. There is one thread here, so running code between fork and
        # exec is safe, and the signal comes with the end of the process, not of a thread.
        if hasattr(libc, "prctl"):
            libc.prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
            if os.getppid() != guard:
                os._exit(127)

    as_other: dict[str, Any] = {"user": ids[0], "group": ids[1], "extra_groups": []} if ids else {}
    return subprocess.Popen(  # noqa: S603 - the command is the parent's own
        command,
        env=environment,
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        umask=0o077,
        preexec_fn=tie_to_guard,  # noqa: PLW1509 - see above
        **as_other,
    )


def _tell_parent(pid: int) -> None:
    with contextlib.suppress(OSError):  # gone already: stdin says so too
        os.write(1, f"{pid}\n".encode())
    os.close(1)


def _look_after(server: "subprocess.Popen[bytes]", output: "_Log", woken: int, stop_signal: int, grace: float) -> int:
    assert server.stdout is not None
    pipe = server.stdout.fileno()
    os.set_blocking(pipe, False)
    waiting, stopping, kill_at = {0, pipe, woken}, False, None
    while (code := server.poll()) is None:
        timeout = None if kill_at is None else max(0.0, kill_at - time.monotonic())
        readable, _, _ = select.select(waiting, [], [], timeout)
        if pipe in readable and not output.take(pipe):
            waiting.discard(pipe)
        if woken in readable:
            stopping |= any(number != signal.SIGCHLD for number in os.read(woken, 64))
        if 0 in readable:
            stopping = True
            waiting.discard(0)
        if stopping and kill_at is None:
            kill_at = time.monotonic() + grace
            server.send_signal(stop_signal)
        elif kill_at is not None and time.monotonic() >= kill_at:
            server.kill()
            kill_at = time.monotonic() + grace
    while output.take(pipe):
        pass
    return code


class _Log:
    def __init__(self, path: str, limit: int) -> None:
        self._path, self._limit = path, limit
        self._open()

    def _open(self) -> None:
        self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._size = os.fstat(self._file).st_size

    def take(self, pipe: int) -> bool:
        """Write what *pipe* holds; return whether it may hold more."""
        try:
            data = os.read(pipe, CHUNK)
        except BlockingIOError:
            return False
        if data:
            self.write(data)
        return bool(data)

    def write(self, data: bytes) -> None:
        """Append to the log; a full disk must not stop the server."""
        with contextlib.suppress(OSError):
            if self._size + len(data) > self._limit:
                os.rename(self._path, f"{self._path}.1")  # noqa: PTH104 - pathlib costs 10 ms here
                os.close(self._file)
                self._open()
            os.write(self._file, data)
            self._size += len(data)


if __name__ == "__main__":
    sys.exit(main())
