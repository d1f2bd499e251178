"""One stage as a process: started, listened to, stopped."""

import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO

import msgspec

from journal_postfix.supervision.lifeline import VARIABLE
from journal_postfix.supervision.output import log_file, read_line


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """What to run and how to take its end."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    finite: bool = False
    """Exit code 0 means that its work is done, not that it died."""
    restart: bool = True
    """Starting it again loses nothing."""
    reads_stdin: bool = False
    stop_seconds: float = 20
    """How long a clean stop may take."""


class StageProcess:
    """A stage's current process. Start and stop from one thread."""

    def __init__(
        self,
        stage: Stage,
        log_dir: Path,
        *,
        wake: threading.Event,
        on_warning: Callable[[str, str], None],
        on_report: Callable[[str, str], None],
    ) -> None:
        """Take callbacks for (stage's name, text): *on_warning* for what people should see, *on_report* for stdout.

        They are called in threads; *wake* is set when the process may have ended.
        """
        self.stage = stage
        self.last_error = ""
        self.started_at = 0.0
        self.log_path = log_dir / f"{stage.name}.log"
        self._log = log_file(log_dir, stage.name)
        self._wake, self._on_warning, self._on_report = wake, on_warning, on_report
        self._process: subprocess.Popen[str] | None = None
        self._readers: list[threading.Thread] = []

    def start(self, lifeline: int) -> None:
        """Start the process; *lifeline* is the reading end of the pipe whose end tells that we are gone."""
        self.started_at = time.monotonic()
        self.last_error = ""
        self._process = subprocess.Popen(  # noqa: S603 - the command is this program's own
            self.stage.command,
            env={**self.stage.environment, VARIABLE: str(lifeline)},
            stdin=None if self.stage.reads_stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="backslashreplace",
            pass_fds=(lifeline,),
            start_new_session=True,  # Ctrl-C is for us: we stop the stages in order
        )
        self._readers = [
            threading.Thread(target=self._read, args=(pipe, take), daemon=True)
            for pipe, take in ((self._process.stderr, self._heard), (self._process.stdout, self._reported))
        ]
        for reader in self._readers:
            reader.start()

    @property
    def pid(self) -> int | None:
        """Process id, while there is a process."""
        return self._process.pid if self._process else None

    def exit_code(self) -> int | None:
        """Return the exit code, negative for a signal, once the process has ended and all it said was heard."""
        if self._process is None or (code := self._process.poll()) is None:
            return None
        for reader in self._readers:  # a grandchild that holds the pipe open must not hold us
            reader.join(timeout=1)
        return code

    def stop(self, hurry: threading.Event) -> None:
        """End the process: SIGTERM, and SIGKILL after the stage's time to stop or when *hurry* is set."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + self.stage.stop_seconds
        while self._process.poll() is None:
            if time.monotonic() > deadline or hurry.is_set():
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
                return
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=0.1)

    def close(self) -> None:
        """Close the log file."""
        for reader in self._readers:
            reader.join(timeout=1)
        self._log.close()

    def _read(self, pipe: IO[str], take: Callable[[str], None]) -> None:
        with pipe:
            for line in pipe:
                take(line.rstrip("\n"))
        self._wake.set()

    def _heard(self, line: str) -> None:
        self._keep(line)
        said = read_line(line)
        if said.text and (said.level >= logging.ERROR or said.level == logging.NOTSET or not self.last_error):
            self.last_error = said.text
        if said.level >= logging.WARNING and not said.last_words:  # these are told with the stage's end
            self._on_warning(self.stage.name, said.text)

    def _reported(self, line: str) -> None:
        self._on_report(self.stage.name, line)

    def _keep(self, line: str) -> None:
        self._log.emit(logging.LogRecord(self.stage.name, logging.INFO, "", 0, line, None, None))


def described_exit(code: int) -> str:
    """Return e.g. ``exit code 1`` or ``killed by SIGKILL``."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
