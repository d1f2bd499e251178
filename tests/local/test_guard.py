"""A guarded process ends with its parent, however that goes, and its log stays bounded."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from journal_postfix.local import guarded
from journal_postfix.local.guarded import Command, GuardedProcess
from journal_postfix.local.locks import LockHeldError, locked

STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
)
PARENT = """
import sys, threading, time
from pathlib import Path
from journal_postfix.local.guarded import Command, GuardedProcess
from journal_postfix.local.locks import locked
folder = Path(sys.argv[1])
def start():
    global child
    child = GuardedProcess(
        Command(arguments=["/bin/sleep", "60"], environment={}, directory=folder, log=folder / "log"), lock
    )
with locked(folder / "lock") as lock:
    thread = threading.Thread(target=start)
    thread.start()
    thread.join()  # the server outlives the thread that started it
    print(child.pid, child._guard.pid, flush=True)
    sys.stdin.read()
"""


def command(folder: Path, source: str, **options: Any) -> Command:
    arguments = [sys.executable, "-c", source]
    return Command(arguments=arguments, environment={}, directory=folder, log=folder / "log", **options)


@pytest.fixture
def lock(tmp_path: Path) -> Iterator[int]:
    with locked(tmp_path / "lock") as descriptor:
        yield descriptor


def wait_for_log(folder: Path, text: str) -> None:
    deadline = time.monotonic() + 20
    while text not in (folder / "log").read_text():
        assert time.monotonic() < deadline, f"{text!r} does not come"
        time.sleep(0.01)


def wait_until_stopped(pid: int) -> None:
    """Wait until SIGSTOP has arrived: of two signals that arrive at once, SIGTERM would be the first."""
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        assert time.monotonic() < deadline, "it does not stop"
        time.sleep(0.01)


def test_server_ends_when_its_parent_is_killed(
    tmp_path: Path, run_python: Callable[..., Any], ends_within: Callable[[int, float], bool]
) -> None:
    parent = run_python(PARENT, tmp_path)
    server, _ = map(int, parent.stdout.readline().split())
    parent.kill()
    assert ends_within(server, 10)


def test_server_ends_when_its_guard_is_killed(
    tmp_path: Path, run_python: Callable[..., Any], ends_within: Callable[[int, float], bool]
) -> None:
    parent = run_python(PARENT, tmp_path)
    server, guard = map(int, parent.stdout.readline().split())
    os.kill(guard, signal.SIGKILL)
    assert ends_within(server, 10)


def test_server_outlives_the_thread_that_started_it(
    tmp_path: Path, run_python: Callable[..., Any], ends_within: Callable[[int, float], bool]
) -> None:
    parent = run_python(PARENT, tmp_path)
    server, _ = map(int, parent.stdout.readline().split())
    assert not ends_within(server, 0.5)


def test_lock_is_held_until_the_server_of_a_killed_parent_is_gone(
    tmp_path: Path, run_python: Callable[..., Any], ends_within: Callable[[int, float], bool]
) -> None:
    parent = run_python(PARENT, tmp_path)
    server, guard = map(int, parent.stdout.readline().split())
    os.kill(server, signal.SIGSTOP)
    wait_until_stopped(server)  # it can't end in order now
    parent.kill()
    parent.wait()
    with pytest.raises(LockHeldError), locked(tmp_path / "lock", wait_seconds=0.5):
        pass
    os.kill(server, signal.SIGCONT)
    assert ends_within(guard, 10)
    with locked(tmp_path / "lock"):
        pass


def test_server_that_ignores_the_order_to_stop_is_killed_after_its_grace(tmp_path: Path, lock: int) -> None:
    server = GuardedProcess(command(tmp_path, STUBBORN, grace_seconds=0.3), lock)
    wait_for_log(tmp_path, "ready")
    server.stop()
    assert server.exit_code() == 128 + signal.SIGKILL


def test_server_gets_the_signal_that_stops_it_cleanly(tmp_path: Path, lock: int) -> None:
    source = "import signal, time; signal.signal(2, lambda *_: exit(7)); print('ready', flush=True); time.sleep(60)"
    server = GuardedProcess(command(tmp_path, source, stop_signal=signal.SIGINT), lock)
    wait_for_log(tmp_path, "ready")
    server.stop()
    assert server.exit_code() == 7


def test_end_of_a_server_is_noticed_and_its_last_words_are_kept(tmp_path: Path, lock: int) -> None:
    server = GuardedProcess(command(tmp_path, "import sys; sys.exit('no such thing')"), lock)
    assert server.wait(20)
    assert server.exit_code() == 1
    assert server.said() == "no such thing"


def test_last_words_are_those_since_the_start(tmp_path: Path, lock: int) -> None:
    for word in ("first", "second"):
        server = GuardedProcess(command(tmp_path, f"print('{word}')"), lock)
        assert server.wait(20)
    assert server.said() == "second"


def test_command_that_does_not_exist_is_an_exit_and_a_reason(tmp_path: Path, lock: int) -> None:
    server = GuardedProcess(
        Command(arguments=["/no/such/program"], environment={}, directory=tmp_path, log=tmp_path / "log"), lock
    )
    assert server.pid is None
    assert server.wait(20)
    assert "cannot run /no/such/program: " in server.said()


def test_log_is_bounded(tmp_path: Path, lock: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guarded, "LOG_LIMIT", 10_000)
    server = GuardedProcess(command(tmp_path, "for n in range(5000): print('line', n)"), lock)
    assert server.wait(20)
    sizes = [path.stat().st_size for path in (tmp_path / "log", tmp_path / "log.1")]
    assert max(sizes) <= max(10_000, 64 * 1024)
    assert server.said().endswith("line 4999")
    assert {path.name for path in tmp_path.iterdir()} == {"lock", "log", "log.1"}


def test_server_gets_none_of_our_environment_and_none_of_our_files(
    tmp_path: Path, lock: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOURNAL_POSTFIX_DATABASE__PASSWORD", "secret")
    source = "import os; print(sorted(os.environ), sorted(os.listdir('/proc/self/fd')))"
    server = GuardedProcess(command(tmp_path, source), lock)
    assert server.wait(20)
    assert "JOURNAL" not in server.said()
    assert server.said().endswith("['0', '1', '2', '3']")  # 3: the listing itself
