import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from journal_postfix.supervision.stage import Stage
from journal_postfix.supervision.supervisor import BackOff, Supervisor
from schemas.errors import ConfigurationError, JournalPostfixError

# A stage that writes a line to the file RUNS each time it starts and when it is asked to stop.
PRELUDE = """
import os, signal, sys, time
def note(word):
    with open(os.environ["RUNS"], "a") as runs: runs.write(f"{os.environ['NAME']} {word} {os.getpid()}\\n")
def stop(*_):
    note("stopped"); sys.exit(0)
signal.signal(signal.SIGTERM, stop)
note("started")
"""
FOREVER = PRELUDE + "while True: signal.pause()\n"


class Told:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.warnings: list[tuple[str, str]] = []
        self.reports: list[tuple[str, str]] = []


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def stage(tmp_path: Path) -> Callable[..., Stage]:
    def make(name: str, code: str, **more: object) -> Stage:
        environment = {**os.environ, "RUNS": str(tmp_path / "runs"), "NAME": name, "PYTHONUNBUFFERED": "1"}
        return Stage(name=name, command=(sys.executable, "-c", code), environment=environment, **more)  # type: ignore[arg-type]

    return make


def runs(tmp_path: Path) -> list[tuple[str, str]]:
    file = tmp_path / "runs"
    lines = file.read_text().splitlines() if file.exists() else []
    return [(line.split()[0], line.split()[1]) for line in lines]


def supervised(tmp_path: Path, told: Told, *stages: Stage, back_off: BackOff | None = None) -> Supervisor:
    return Supervisor(
        stages,
        tmp_path / "log",
        tell=told.lines.append,
        on_warning=lambda *said: told.warnings.append(said),
        on_report=lambda *said: told.reports.append(said),
        back_off=back_off or BackOff(first=0.01, longest=0.02),
    )


def until(condition: Callable[[], bool], supervisor: Supervisor | None = None, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    waiting = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        if supervisor is None:
            waiting.wait(0.02)
        else:
            supervisor.step()
            supervisor.wait(0.02)


def test_stages_are_stopped_in_the_order_of_the_flow(tmp_path: Path, told: Told, stage: Callable[..., Stage]) -> None:
    names = ("produce", "stream", "sink")
    with supervised(tmp_path, told, *(stage(name, FOREVER) for name in names)) as supervisor:
        until(lambda: len(runs(tmp_path)) == 3, supervisor)
    assert [name for name, what in runs(tmp_path) if what == "stopped"] == list(names)
    assert told.lines == []


def test_a_stage_that_is_killed_is_started_again_and_people_are_told_why(
    tmp_path: Path, told: Told, stage: Callable[..., Stage]
) -> None:
    with supervised(tmp_path, told, stage("stream", FOREVER)) as supervisor:
        until(lambda: ("stream", "started") in runs(tmp_path), supervisor)
        os.kill(supervisor.pids()["stream"], signal.SIGKILL)
        until(lambda: runs(tmp_path).count(("stream", "started")) == 2, supervisor)
        assert supervisor.restarted("stream")
    assert told.lines == ["stream died (killed by SIGKILL); starting it again in 0.01 s"]


@pytest.mark.parametrize(
    ("last_words", "quoted"),
    [
        ("journal-postfix: Kafka at x:1 does not answer", "Kafka at x:1 does not answer"),
        ("Traceback (most recent call last):\\n  File x\\nValueError: odd", "ValueError: odd"),
        ('{"level": "error", "event": "cannot go on", "topic": "raw"}', "cannot go on topic=raw"),
        ('{"level": "error", "event": "cannot go on"}\\n{"level": "info", "event": "bye"}', "cannot go on"),
    ],
)
def test_a_death_is_told_with_the_exit_code_and_the_last_error(
    tmp_path: Path, told: Told, stage: Callable[..., Stage], last_words: str, quoted: str
) -> None:
    code = f"import sys; sys.stderr.write('''{last_words}''' + chr(10)); sys.exit(1)"
    with supervised(tmp_path, told, stage("sink", code)) as supervisor:
        until(lambda: bool(told.lines), supervisor)
    assert told.lines[0] == f"sink died (exit code 1: {quoted}); starting it again in 0.01 s"


def test_waits_grow_up_to_the_longest_and_a_healthy_run_resets_them(
    tmp_path: Path, told: Told, stage: Callable[..., Stage]
) -> None:
    back_off = BackOff(first=0.5, longest=30)
    assert [back_off.delay(n) for n in (1, 2, 3, 6, 7, 5000)] == [0.5, 1, 2, 16, 30, 30]
    short = BackOff(first=0.01, longest=5, healthy=0)
    with supervised(tmp_path, told, stage("sink", "raise SystemExit(1)"), back_off=short) as supervisor:
        until(lambda: len(told.lines) == 3, supervisor)
    assert {line.rsplit(" in ")[1] for line in told.lines} == {"0.01 s"}


def test_a_stage_that_is_configured_wrongly_is_not_started_again(
    tmp_path: Path, told: Told, stage: Callable[..., Stage]
) -> None:
    code = PRELUDE + "sys.stderr.write('journal-postfix: mail.log is a folder\\n'); sys.exit(2)"
    with (
        pytest.raises(ConfigurationError, match=r"^mail\.log is a folder$"),
        supervised(tmp_path, told, stage("produce", code), stage("sink", FOREVER)) as supervisor,
    ):
        until(lambda: False, supervisor)
    assert runs(tmp_path).count(("produce", "started")) == 1
    assert ("sink", "stopped") in runs(tmp_path) or ("sink", "started") not in runs(tmp_path)


def test_a_run_that_must_end_gives_up_on_a_stage_that_dies_again_and_again(
    tmp_path: Path, told: Told, stage: Callable[..., Stage]
) -> None:
    back_off = BackOff(first=0.01, longest=0.01, tries=3)
    with (
        pytest.raises(JournalPostfixError, match=r"stream died 3 times in a row \(exit code 7\): see .*stream\.log"),
        supervised(tmp_path, told, stage("stream", "raise SystemExit(7)"), back_off=back_off) as supervisor,
    ):
        until(lambda: False, supervisor)
    assert len(told.lines) == 2


def test_a_stage_that_would_lose_lines_is_not_started_again(
    tmp_path: Path, told: Told, stage: Callable[..., Stage]
) -> None:
    with (
        pytest.raises(JournalPostfixError, match="cannot be started again"),
        supervised(tmp_path, told, stage("produce-stdin", "raise SystemExit(1)", restart=False)) as supervisor,
    ):
        until(lambda: False, supervisor)


def test_a_finite_stage_that_is_done_stays_done_and_its_reports_are_passed_on(
    tmp_path: Path, told: Told, stage: Callable[..., Stage]
) -> None:
    code = PRELUDE + "print('a report'); print('another')"
    with supervised(tmp_path, told, stage("produce", code, finite=True)) as supervisor:
        until(lambda: supervisor.finished("produce"), supervisor)
        supervisor.step()
    assert told.reports == [("produce", "a report"), ("produce", "another")]
    assert runs(tmp_path) == [("produce", "started")]
    assert told.lines == []


def test_warnings_are_shown_and_everything_is_kept_in_the_log_file(
    tmp_path: Path, told: Told, stage: Callable[..., Stage]
) -> None:
    lines = ['{"level": "info", "event": "assigned"}', '{"level": "warning", "event": "slow \\u001b[2J", "lag": 7}']
    code = f"import sys\nfor line in {lines!r}: sys.stderr.write(line + chr(10))"
    with supervised(tmp_path, told, stage("stream", code, finite=True)) as supervisor:
        until(lambda: supervisor.finished("stream"), supervisor)
    assert told.warnings == [("stream", "slow ␛[2J lag=7")]
    assert (tmp_path / "log/stream.log").read_text().splitlines() == lines


def test_a_stage_that_does_not_stop_is_killed_after_its_time(
    tmp_path: Path, told: Told, stage: Callable[..., Stage]
) -> None:
    code = PRELUDE + "signal.signal(signal.SIGTERM, signal.SIG_IGN); note('deaf')\nwhile True: signal.pause()\n"
    with supervised(tmp_path, told, stage("stream", code, stop_seconds=0.2)) as supervisor:
        until(lambda: ("stream", "deaf") in runs(tmp_path), supervisor)
        [pid] = supervisor.pids().values()
    assert not Path(f"/proc/{pid}").exists()


def test_hurry_kills_at_once(tmp_path: Path, told: Told, stage: Callable[..., Stage]) -> None:
    code = PRELUDE + "signal.signal(signal.SIGTERM, signal.SIG_IGN); note('deaf')\nwhile True: signal.pause()\n"
    with supervised(tmp_path, told, stage("stream", code, stop_seconds=3600)) as supervisor:
        until(lambda: ("stream", "deaf") in runs(tmp_path), supervisor)
        supervisor.hurry.set()
        began = time.monotonic()
    assert time.monotonic() - began < 10


SUPERVISING = """
import os, sys
from pathlib import Path
from journal_postfix.supervision.stage import Stage
from journal_postfix.supervision.supervisor import Supervisor
def stage(name):
    return Stage(name=name, command=(sys.executable, "-c", sys.argv[2]), environment={**os.environ, "NAME": name})
stages = [stage("a"), stage("b")]
quiet = lambda *_: None
with Supervisor(stages, Path(sys.argv[1]), tell=quiet, on_warning=quiet, on_report=quiet) as supervisor:
    while True:
        supervisor.step(); supervisor.wait(1)
"""


@pytest.fixture
def supervising(tmp_path: Path) -> Iterator[Callable[[str], subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []

    def start(code: str) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "RUNS": str(tmp_path / "runs")}
        process = subprocess.Popen([sys.executable, "-c", SUPERVISING, str(tmp_path / "log"), code], env=environment)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"  # whoever inherits orphans here may be slow to collect them


@pytest.mark.parametrize("deaf", [False, True])
def test_no_stage_outlives_a_supervisor_that_was_killed(
    tmp_path: Path,
    supervising: Callable[[str], subprocess.Popen[bytes]],
    deaf: bool,  # noqa: FBT001 - a case
) -> None:
    ignoring = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" if deaf else ""
    code = (
        PRELUDE + ignoring + "from journal_postfix.supervision.lifeline import hold_on\nhold_on(grace=0.2)\n"
        "note('holds')\nwhile True: signal.pause()\n"
    )
    process = supervising(code)
    until(lambda: sum(what == "holds" for _, what in runs(tmp_path)) == 2)
    pids = [int(line.split()[2]) for line in (tmp_path / "runs").read_text().splitlines() if "holds" in line]
    assert all(alive(pid) for pid in pids)
    process.kill()
    process.wait()
    until(lambda: not any(alive(pid) for pid in pids))
    assert deaf or sum(what == "stopped" for _, what in runs(tmp_path)) == 2
