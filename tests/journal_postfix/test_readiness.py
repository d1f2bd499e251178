"""What systemd and a container's probe are told of a stage: when it works, that it goes on, that it ends."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path

import pytest

from journal_postfix.readiness import FILE_VARIABLE, SOCKET_VARIABLE, Readiness, WatchedStop, readiness
from journal_postfix.topics import make
from schemas.errors import ConfigurationError
from schemas.settings import DatabaseSettings, KafkaSettings, Settings
from sinks.migrating import migrate

SAMPLE = str(files("journal_postfix") / "data/sample.log")


class Listener:
    """systemd's end of the socket."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(60)

    def next(self) -> str:
        return self._socket.recv(4096).decode()

    def waiting(self) -> list[str]:
        """Return what was said by now."""
        self._socket.settimeout(0)
        said = []
        try:
            while True:
                said.append(self._socket.recv(4096).decode())
        except BlockingIOError:
            return said
        finally:
            self._socket.settimeout(60)

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    listener = Listener(tmp_path / "notify")
    yield listener
    listener.close()


def test_without_a_socket_or_a_file_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SOCKET_VARIABLE, raising=False)
    monkeypatch.delenv(FILE_VARIABLE, raising=False)
    with readiness() as told:
        told.ready()
        told.alive()


def test_ready_is_said_once_and_signs_of_life_are_few(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SOCKET_VARIABLE, str(listener.path))
    with readiness() as told:
        told.alive()
        assert listener.waiting() == []  # it does not work yet
        for _ in range(1000):
            told.ready()
        assert listener.waiting() == ["READY=1"]
        now = time.monotonic()
        monkeypatch.setattr(time, "monotonic", lambda: now + 1.5)
        told.alive()
        told.alive()
        assert listener.waiting() == ["WATCHDOG=1"]
    assert listener.waiting() == ["STOPPING=1"]


def test_a_name_without_a_file_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as abstract:
        abstract.bind("")  # the kernel gives a name
        monkeypatch.setenv(SOCKET_VARIABLE, "@" + abstract.getsockname()[1:].decode())
        with readiness() as told:
            told.ready()
        abstract.settimeout(10)
        assert abstract.recv(100) == b"READY=1"


def test_processes_that_a_stage_starts_do_not_speak_for_it(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ((SOCKET_VARIABLE, str(listener.path)), ("WATCHDOG_USEC", "1"), ("WATCHDOG_PID", "1")):
        monkeypatch.setenv(name, value)
    with readiness():
        assert not {SOCKET_VARIABLE, "WATCHDOG_USEC", "WATCHDOG_PID"} & os.environ.keys()


def test_the_file_is_there_while_the_stage_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "alive"
    file.touch()  # of a run that was killed
    monkeypatch.setenv(FILE_VARIABLE, str(file))
    with readiness() as told:
        assert not file.exists()
        told.ready()
        os.utime(file, (1, 1))
        now = time.monotonic()
        monkeypatch.setattr(time, "monotonic", lambda: now + 2)
        told.alive()
        assert file.stat().st_mtime > 1
    assert not file.exists()


@pytest.mark.parametrize("variable", [SOCKET_VARIABLE, FILE_VARIABLE])
def test_what_can_not_be_told_is_said_at_the_start(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, str(tmp_path / "none" / "there"))
    with pytest.raises(ConfigurationError, match=variable), readiness():
        pass


def test_only_looks_of_the_stage_s_own_thread_are_signs_of_life() -> None:
    looks: list[int] = []
    stop = threading.Event()
    watched = WatchedStop(stop, lambda: looks.append(1))
    assert not watched.is_set()
    other = threading.Thread(target=watched.is_set)
    other.start()
    other.join()
    assert looks == [1]
    stop.set()
    assert watched.is_set()
    assert watched.wait(0)


def test_a_socket_that_went_away_does_no_harm(tmp_path: Path) -> None:
    listener = Listener(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.connect(str(listener.path))
        listener.close()
        told = Readiness(notify, tmp_path / "gone" / "alive")
        told.ready()
        told.stopping()


Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start(kafka_settings: KafkaSettings, listener: Listener, tmp_path: Path) -> Iterator[Start]:
    """Give a way to start a stage as systemd would."""
    started = []

    def start(*arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        said = {
            SOCKET_VARIABLE: str(listener.path),
            FILE_VARIABLE: str(tmp_path / "alive"),
            "JOURNAL_POSTFIX_KAFKA__BOOTSTRAP_SERVERS": str(kafka_settings.bootstrap_servers),
            "JOURNAL_POSTFIX_KAFKA__TOPIC_PREFIX": kafka_settings.topic_prefix,
            "JOURNAL_POSTFIX_KAFKA__PARTITIONS": str(kafka_settings.partitions),
            "JOURNAL_POSTFIX_STREAM__APPLICATION": f"app-{kafka_settings.topic_prefix}",
        }
        command = [sys.executable, "-m", "journal_postfix", *arguments]
        with (tmp_path / "stage.log").open("ab") as log:
            process = subprocess.Popen(command, env={**os.environ, **said, **environment}, stdout=log, stderr=log)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def made(kafka_settings: KafkaSettings) -> None:
    """Make the topics."""
    stream = Settings().stream.model_copy(update={"application": f"app-{kafka_settings.topic_prefix}"})
    make(Settings(kafka=kafka_settings, stream=stream))


def _works_and_stops(process: subprocess.Popen[bytes], listener: Listener, tmp_path: Path) -> None:
    log = tmp_path / "stage.log"
    try:
        assert listener.next() == "READY=1"
    except TimeoutError:
        pytest.fail(log.read_text())
    assert (tmp_path / "alive").exists()
    assert [listener.next() for _ in range(3)] == ["WATCHDOG=1"] * 3
    process.send_signal(signal.SIGSTOP)  # a stage that hangs
    time_of_last = (tmp_path / "alive").stat().st_mtime
    listener.waiting()
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(2.5)
    assert listener.waiting() == []
    assert (tmp_path / "alive").stat().st_mtime == time_of_last
    process.send_signal(signal.SIGCONT)
    process.send_signal(signal.SIGTERM)
    while (said := listener.next()) != "STOPPING=1":
        assert said == "WATCHDOG=1"
    assert process.wait(60) == 0, log.read_text()
    assert not (tmp_path / "alive").exists()


@pytest.mark.kafka
@pytest.mark.usefixtures("made")
def test_a_producer_tells_that_it_follows(start: Start, listener: Listener, tmp_path: Path) -> None:
    _works_and_stops(start("produce", "logfile", "--follow", SAMPLE), listener, tmp_path)


@pytest.mark.kafka
@pytest.mark.usefixtures("made")
def test_a_stream_worker_tells_that_its_loop_turns(start: Start, listener: Listener, tmp_path: Path) -> None:
    _works_and_stops(start("stream"), listener, tmp_path)


@pytest.mark.kafka
@pytest.mark.postgres
@pytest.mark.usefixtures("made")
def test_a_sink_tells_that_it_reads(
    start: Start, listener: Listener, tmp_path: Path, database: DatabaseSettings
) -> None:
    migrate(Settings(database=database))
    given = {"HOST": str(database.host), "PORT": str(database.port), "DBNAME": database.dbname,
             "USER": str(database.user)}  # fmt: skip
    if database.password is not None:
        given["PASSWORD"] = database.password.get_secret_value()
    if database.sslmode is not None:
        given["SSLMODE"] = database.sslmode
    environment = {f"JOURNAL_POSTFIX_DATABASE__{name}": value for name, value in given.items()}
    _works_and_stops(start("sink", **environment), listener, tmp_path)


@pytest.mark.kafka
def test_a_stage_that_can_not_work_never_says_that_it_is_ready(
    start: Start, listener: Listener, tmp_path: Path
) -> None:
    process = start("stream")  # there are no topics
    assert process.wait(60) == 2, (tmp_path / "stage.log").read_text()
    assert listener.waiting() == ["STOPPING=1"]
