"""Several workers of a stage under one command: all work, one that dies comes back, none is left behind."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from journal_postfix.readiness import FILE_VARIABLE
from journal_postfix.supervision.environment import environment_of
from schemas.settings import Settings

pytestmark = pytest.mark.kafka

Start = Callable[[Settings], "subprocess.Popen[bytes]"]


IMPATIENT = """
from journal_postfix.__main__ import main
from journal_postfix.supervision import workers
workers._SILENT_SECONDS = 5.0
main()
"""


@pytest.fixture
def said(tmp_path: Path) -> Path:
    return tmp_path / "said.log"


@pytest.fixture
def ready(tmp_path: Path) -> Path:
    """Give the file that is there while all workers work."""
    return tmp_path / "ready"


@pytest.fixture
def start(said: Path, ready: Path) -> Iterator[Start]:
    started: list[subprocess.Popen[bytes]] = []

    def start(settings: Settings) -> "subprocess.Popen[bytes]":
        environment = environment_of(settings, os.environ) | {FILE_VARIABLE: str(ready)}
        command = [sys.executable, "-c", IMPATIENT, "stream", "--workers", "2"]
        with said.open("wb") as log:
            started.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def children(process: "subprocess.Popen[bytes]") -> list[int]:
    """Return the process ids of the workers."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        if parent == process.pid:
            found.append(int(entry.name))
    return found


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def until(condition: Callable[[], object], said: Path, seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, said.read_text()
        time.sleep(0.1)  # other processes are waited for


def test_they_share_the_partitions_and_one_that_dies_comes_back(
    stream_settings: Settings, start: Start, said: Path, ready: Path
) -> None:
    process = start(stream_settings)
    until(ready.exists, said)
    first = children(process)
    assert len(first) == 2
    until(lambda: re.search(r"kept=\[\d, \d\]|restored=\[\d, \d\]", said.read_text()), said)  # each has two of four
    os.kill(first[0], signal.SIGKILL)
    until(lambda: "a worker died" in said.read_text(), said)
    until(lambda: len(children(process)) == 2 and set(children(process)) != set(first), said)
    asked = time.monotonic()
    process.terminate()
    assert process.wait(30) == 0, said.read_text()
    assert time.monotonic() - asked < 20
    assert not ready.exists()
    assert all(map(gone, first))


def test_one_that_hangs_is_killed_and_comes_back(
    stream_settings: Settings, start: Start, said: Path, ready: Path
) -> None:
    process = start(stream_settings)
    until(ready.exists, said)
    first = children(process)
    os.kill(first[0], signal.SIGSTOP)
    until(lambda: "a worker hangs" in said.read_text(), said)
    until(lambda: len(set(children(process)) - {first[0]}) == 2, said)
    assert first[1] in children(process)
    process.terminate()
    assert process.wait(30) == 0, said.read_text()


def test_none_outlives_the_command(stream_settings: Settings, start: Start, said: Path, ready: Path) -> None:
    process = start(stream_settings)
    until(ready.exists, said)
    workers = children(process)
    process.kill()
    until(lambda: all(map(gone, workers)), said, 40)


def test_wrong_settings_end_all_of_them(stream_settings: Settings, start: Start, said: Path) -> None:
    kafka = stream_settings.kafka.model_copy(update={"topic_prefix": "nowhere."})
    process = start(stream_settings.model_copy(update={"kafka": kafka}))
    assert process.wait(60) == 2
    assert "missing topics" in said.read_text()
