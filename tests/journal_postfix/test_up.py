"""The whole command on the packaged log: read once, interrupted, killed in its parts, and asked afterwards."""

import csv
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.resources import files
from pathlib import Path

import pytest

SAMPLE = Path(str(files("journal_postfix") / "data/sample.log"))
LINES = len(SAMPLE.read_bytes().splitlines())

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def command(data_dir: Path) -> Command:
    def run(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "journal_postfix", *arguments, "--data-dir", str(data_dir)],
            env={**os.environ, "COLUMNS": "80", **more}, text=True, capture_output=True, timeout=180, check=False,
        )  # fmt: skip

    return run


@pytest.fixture
def started(data_dir: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    processes: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "journal_postfix", *arguments, "--data-dir", str(data_dir)],
            text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=60)


def figures(stdout: str) -> dict[str, float]:
    return {line.split()[0]: float(line.split()[1]) for line in stdout.splitlines() if not line.startswith("/")}


def started_by(pid: int) -> Iterator[tuple[int, list[str]]]:
    """Give the process ids and command lines of the processes that *pid* runs, and of theirs."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            words = (entry / "cmdline").read_text().split("\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if parent == pid:
            yield int(entry.name), words
            yield from started_by(int(entry.name))


def stages_of(process: subprocess.Popen[str]) -> dict[str, int]:
    """Return the process ids of the stages that *process* runs."""
    return {
        words[words.index("journal_postfix") + 1]: pid
        for pid, words in started_by(process.pid)
        if "journal_postfix" in words
    }


def until(condition: Callable[[], bool], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        threading.Event().wait(0.05)


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_a_log_is_read_once_and_can_be_asked(command: Command) -> None:
    first = command("up", "--once", "--logfile", str(SAMPLE))
    assert first.returncode == 0, first.stderr
    counted = figures(first.stdout)
    assert list(counted) == [
        "lines", "messages", "deliveries", "attempts", "rejects", "parsed", "ignored", "unparsed", "dead-lettered",
        "seconds", "lines/s",
    ]  # fmt: skip
    assert counted["lines"] == LINES
    assert sum(counted[name] for name in ("parsed", "ignored", "unparsed", "dead-lettered")) == LINES
    assert counted["messages"] > 0
    assert first.stderr.startswith("Kafka: embedded, 127.0.0.1:")

    again = command("up", "--once", "--logfile", str(SAMPLE))
    assert again.returncode == 0
    assert again.stdout.startswith(f"{SAMPLE}: already read; nothing new\n")
    assert f"{counted['messages']:.0f} in all" in again.stdout

    everything = command("deliveries", "--limit", "0", "--format", "jsonl", "--since", "2000-01-01")
    records = [json.loads(line) for line in everything.stdout.splitlines()]
    assert len({(r["queue_id"], r["arrived_at"]) for r in records}) == counted["messages"]
    assert sum(r["recipient"] is not None for r in records) == counted["deliveries"]
    assert [r["arrived_at"] for r in records] == sorted((r["arrived_at"] for r in records), reverse=True)

    rejects = command("rejects", "--limit", "0", "--format", "csv", "--since", "2000-01-01")
    rows = list(csv.DictReader(rejects.stdout.splitlines()))
    with_id = sum(r["status"] == "rejected" for r in records)
    assert len(rows) == counted["rejects"] + with_id

    bounced = next(r for r in records if r["status"] == "bounced")
    journey = json.loads(command("trace", bounced["queue_id"], "--format", "json").stdout)
    assert bounced["queue_id"] in {hop["message"]["queue_id"] for hop in journey}
    nothing = command("trace", "nobody@nowhere.example")
    assert (nothing.returncode, nothing.stdout) == (1, "")
    assert nothing.stderr.startswith("journal-postfix: no message has ")

    table = command("deliveries", NO_COLOR="1").stdout
    assert max(map(len, table.splitlines())) <= 80
    assert "\x1b" not in table
    checked = command("check")
    assert (checked.returncode, {line[0] for line in checked.stdout.splitlines()}) == (0, {"✓"})


def test_stages_that_are_killed_are_started_again_and_nothing_is_lost(
    command: Command, started: Callable[..., subprocess.Popen[str]]
) -> None:
    up = started("up", "--once", "--logfile", str(SAMPLE))
    killed: set[str] = set()
    until(lambda: {"stream", "sink"} <= stages_of(up).keys())
    for name, pid in stages_of(up).items():
        with suppress(ProcessLookupError):  # a producer may be done by now
            os.kill(pid, signal.SIGKILL)
            killed.add(name)
    assert killed >= {"stream", "sink"}
    stdout, stderr = up.communicate(timeout=180)
    assert up.returncode == 0, stderr
    for name in ("stream", "sink"):
        assert f"{name} died (killed by SIGKILL); starting it again in 0.5 s" in stderr
    counted = figures(stdout)
    assert counted["lines"] == LINES
    records = command("deliveries", "--limit", "0", "--format", "jsonl", "--since", "2000-01-01").stdout.splitlines()
    assert sum(json.loads(line)["recipient"] is not None for line in records) == counted["deliveries"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0), (signal.SIGKILL, -9)])
def test_nothing_is_left_behind_however_it_ends(
    command: Command, started: Callable[..., subprocess.Popen[str]], number: signal.Signals, code: int
) -> None:
    up = started("up", "--logfile", str(SAMPLE))
    until(lambda: len(stages_of(up)) == 3)
    pids = [pid for pid, _ in started_by(up.pid)]
    assert len(pids) > 3, "a broker and a database are there too"
    asked = command("deliveries", "--limit", "1")  # of the running one's database
    assert asked.returncode == 0, asked.stderr
    up.send_signal(number)
    up.wait(60)
    assert up.returncode == code
    until(lambda: all(map(gone, pids)), 40)


def test_a_pipe_is_read_to_its_end(data_dir: Path) -> None:
    with SAMPLE.open() as log:
        result = subprocess.run(
            [sys.executable, "-m", "journal_postfix", "up", "--once", "--stdin", "--data-dir", str(data_dir)],
            stdin=log, text=True, capture_output=True, timeout=180, check=False,
        )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert figures(result.stdout)["lines"] == LINES
    head = subprocess.run(
        f"{sys.executable} -m journal_postfix deliveries --limit 0 --format jsonl --data-dir {data_dir} | head -1",
        shell=True, text=True, capture_output=True, timeout=60, check=True,
    )  # fmt: skip
    assert len(head.stdout.splitlines()) == 1
    assert head.stderr == ""


def test_a_log_of_another_program_ends_everything_with_one_line(command: Command, tmp_path: Path) -> None:
    other = tmp_path / "auth.log"
    other.write_text("Nov 23 06:28:33 mx1 sshd[12]: hello\n")
    result = command("up", "--once", "--logfile", str(other))
    assert (result.returncode, result.stdout) == (2, "")
    last = result.stderr.splitlines()[-1]
    assert last.startswith(f"journal-postfix: no Postfix line among 1 lines of {other}")
    assert result.stderr.count("no Postfix line") == 1
