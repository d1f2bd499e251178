"""Keeps the stages running: starts again what dies, gives up on what can't work, stops all in order."""

import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from journal_postfix.failures import WRONG_USE
from journal_postfix.supervision.stage import Stage, StageProcess, described_exit
from schemas.errors import ConfigurationError, JournalPostfixError


class BackOff(msgspec.Struct, frozen=True):
    """How long to wait before a stage is started again."""

    first: float = 0.5
    longest: float = 30.0
    healthy: float = 60.0
    """A stage that ran this long has recovered: the next wait is the first one again."""
    tries: int | None = None
    """Deaths in a row after which to give up; None: never."""

    def delay(self, deaths: int) -> float:
        """Return the seconds to wait after the *deaths*-th death in a row."""
        return float(min(self.longest, self.first * 2 ** min(deaths - 1, 32)))


class _State:
    def __init__(self, process: StageProcess) -> None:
        self.process = process
        self.deaths = 0
        self.due: float | None = None
        self.finished = False


class Supervisor:
    """Runs stages, given in the order of the flow. A context manager: leaving it stops them all."""

    def __init__(
        self,
        stages: Sequence[Stage],
        log_dir: Path,
        *,
        tell: Callable[[str], None],
        on_warning: Callable[[str, str], None],
        on_report: Callable[[str, str], None],
        back_off: BackOff = BackOff(),  # noqa: B008 - immutable
    ) -> None:
        """Take *tell*, which gets a line for people when a stage dies; for the others see `StageProcess`."""
        self._wake = threading.Event()
        self._states = {
            stage.name: _State(
                StageProcess(stage, log_dir, wake=self._wake, on_warning=on_warning, on_report=on_report)
            )
            for stage in stages
        }
        self._tell, self._back_off = tell, back_off
        self._lifeline, self._held = os.pipe()
        self.hurry: Final = threading.Event()
        """Set it to kill what has not stopped yet."""

    def __enter__(self) -> Self:
        for state in self._states.values():
            state.process.start(self._lifeline)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for state in self._states.values():
            state.process.stop(self.hurry)
        for state in self._states.values():
            state.process.close()
        os.close(self._held)
        os.close(self._lifeline)

    def pids(self) -> dict[str, int]:
        """Return the process id of each stage that runs."""
        processes = {name: state.process for name, state in self._states.items()}
        return {name: p.pid for name, p in processes.items() if p.pid is not None and p.exit_code() is None}

    def finished(self, name: str) -> bool:
        """Tell whether a finite stage has done its work."""
        return self._states[name].finished

    def restarted(self, name: str) -> bool:
        """Tell whether a stage has died since it was healthy."""
        return self._states[name].deaths > 0

    def wake(self) -> None:
        """End a `wait` of another thread."""
        self._wake.set()

    def wait(self, seconds: float) -> None:
        """Wait so long, or until a stage's process may have ended."""
        self._wake.wait(seconds)
        self._wake.clear()

    def step(self) -> None:
        """Look after every stage once. Raises ConfigurationError or JournalPostfixError where one can't go on."""
        for name, state in self._states.items():
            if state.finished:
                continue
            if state.due is not None:
                if time.monotonic() >= state.due:
                    state.due = None
                    state.process.start(self._lifeline)
                continue
            code = state.process.exit_code()
            if code is not None:
                self._ended(name, state, code)

    def _ended(self, name: str, state: _State, code: int) -> None:
        process = state.process
        if code == 0 and process.stage.finite:
            state.finished = True
            return
        said = process.last_error
        if code == WRONG_USE:
            raise ConfigurationError(said or f"{name} ended with {described_exit(code)}: see {process.log_path}")
        why = described_exit(code) + (f": {said}" if said and code > 0 else "")
        if not process.stage.restart:
            raise JournalPostfixError(f"{name} died ({why}) and cannot be started again: see {process.log_path}")
        recovered = time.monotonic() - process.started_at >= self._back_off.healthy
        state.deaths = 1 if recovered else state.deaths + 1
        if self._back_off.tries is not None and state.deaths >= self._back_off.tries:
            raise JournalPostfixError(f"{name} died {state.deaths} times in a row ({why}): see {process.log_path}")
        delay = self._back_off.delay(state.deaths)
        state.due = time.monotonic() + delay
        self._tell(f"{name} died ({why}); starting it again in {delay:g} s")
