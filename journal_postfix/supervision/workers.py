"""Several workers of one stage on one host: processes of their own, of which one that dies is started again."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

import structlog

from journal_postfix.failures import FAILED, OK, WRONG_USE
from journal_postfix.interrupts import Interruption
from journal_postfix.logs import WORKER_VARIABLE
from journal_postfix.readiness import FILE_VARIABLE
from journal_postfix.supervision.environment import environment_of
from journal_postfix.supervision.lifeline import VARIABLE
from journal_postfix.supervision.stage import described_exit
from journal_postfix.supervision.supervisor import BackOff
from schemas.settings import Settings

STOP_SECONDS: Final = 25.0
"""How long they may take to stop, all at once: more than each takes at most."""
_SILENT_SECONDS: Final = 60.0
"""How long a worker may give no sign of life before it counts as hanging."""
_LOOK_SECONDS: Final = 0.2

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class _Worker:
    """One of them."""

    def __init__(self, number: int, folder: Path) -> None:
        self.number: Final = number
        self.heartbeat: Final = folder / f"worker-{number}"
        self.process: subprocess.Popen[bytes] | None = None
        self.deaths = 0
        self.due = 0.0
        self.started_at = 0.0
        self._sign: float | None = None
        self._same = 0

    def look(self) -> None:
        """Look for a sign of life, every _LOOK_SECONDS.

        It counts how often there was none, not for how long: a machine that slept, or whose clock was put forward, must
        not make workers silent.
        """
        before = self._sign
        try:
            self._sign = self.heartbeat.stat().st_mtime
        except OSError:  # it has yet to connect, or stops
            self._sign = None
        self._same = self._same + 1 if self._sign is not None and self._sign == before else 0

    def hangs(self) -> bool:
        """Tell whether it worked, and has given no sign of life for long."""
        return self._same * _LOOK_SECONDS > _SILENT_SECONDS

    def spare(self) -> None:
        """Wait as long again before it counts as hanging: it takes a moment to die."""
        self._same = 0

    def lives(self) -> bool:
        """Tell whether it works, and gave a sign of life lately."""
        return self._sign is not None and not self.hangs()


def run_workers(
    settings: Settings, stage: str, count: int, interruption: Interruption, alive: Callable[[], None]
) -> int:
    """Run *count* processes of the command *stage* until asked to stop; return the exit code.

    *alive* is called again and again while all of them work. What they say goes where this process's output goes. One
    that dies is started again, later each time, and so is one that hangs; one that ends for wrong settings ends all.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="journal-postfix-workers-")))
        reading, writing = os.pipe()  # its end tells them that we are gone, however we went
        stack.callback(os.close, writing)
        stack.callback(os.close, reading)
        workers = [_Worker(number, folder) for number in range(1, count + 1)]
        stack.callback(_stop, workers, interruption)
        environments = [
            environment_of(_of_worker(settings, worker.number), os.environ) | {VARIABLE: str(reading)}
            for worker in workers
        ]
        back_off = BackOff()
        while not interruption.stop.is_set():
            for worker, environment in zip(workers, environments, strict=True):
                code = _ended(worker, back_off)
                if code == WRONG_USE:
                    return WRONG_USE
                if worker.process is None and time.monotonic() >= worker.due:
                    _start(worker, stage, environment, reading)
                worker.look()
                if worker.hangs() and worker.process is not None:
                    log.error("a worker hangs: killed", worker=worker.number, silent_seconds=_SILENT_SECONDS)
                    _kill(worker.process)
                    worker.spare()
            if all(worker.lives() for worker in workers):
                alive()
            interruption.stop.wait(_LOOK_SECONDS)
    # One that had only just been started knows no SIGTERM yet.
    clean = all(w.process is None or w.process.returncode in {OK, -signal.SIGTERM} for w in workers)
    return OK if clean else FAILED


def _of_worker(settings: Settings, number: int) -> Settings:
    """Return the settings of a worker: each serves its metrics at a port of its own, the same whenever it starts."""
    if not settings.metrics.port:
        return settings
    port = min(settings.metrics.port + number - 1, 65_535)
    return settings.model_copy(update={"metrics": settings.metrics.model_copy(update={"port": port})})


def _start(worker: _Worker, stage: str, environment: dict[str, str], lifeline: int) -> None:
    worker.heartbeat.unlink(missing_ok=True)
    worker.started_at = time.monotonic()
    worker.process = subprocess.Popen(  # noqa: S603 - this program
        [sys.executable, "-m", "journal_postfix", stage],
        env=environment | {FILE_VARIABLE: str(worker.heartbeat), WORKER_VARIABLE: str(worker.number)},
        stdin=subprocess.DEVNULL,
        pass_fds=(lifeline,),
        start_new_session=True,  # Ctrl-C is for us: we stop them
    )


def _ended(worker: _Worker, back_off: BackOff) -> int | None:
    """Return the exit code of a worker that has ended by itself, and say when it is to be started again."""
    if worker.process is None or (code := worker.process.poll()) is None:
        return None
    worker.process = None
    worker.heartbeat.unlink(missing_ok=True)
    healthy = time.monotonic() - worker.started_at >= back_off.healthy
    worker.deaths = 1 if healthy else worker.deaths + 1
    delay = back_off.delay(worker.deaths)
    worker.due = time.monotonic() + delay
    if code != WRONG_USE:
        log.warning("a worker died", worker=worker.number, why=described_exit(code), again_in_seconds=delay)
    return code


def _stop(workers: list[_Worker], interruption: Interruption) -> None:
    """End all of them: SIGTERM, and SIGKILL for those that take too long, or at a second signal."""
    running = [worker.process for worker in workers if worker.process is not None]

    def kill() -> None:
        for process in running:
            _kill(process)

    interruption.on_second = kill
    for process in running:
        process.terminate()
    deadline = time.monotonic() + STOP_SECONDS
    for process in running:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            kill()
            process.wait()


def _kill(process: "subprocess.Popen[bytes]") -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
