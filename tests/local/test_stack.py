"""One ``up`` runs in a data folder; commands find it there, or run what they need for themselves."""

import json
import os
import stat
import subprocess
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from confluent_kafka.admin import AdminClient

from journal_postfix.local import LocalStack, attach
from journal_postfix.local.data_dir import DataDir
from schemas.errors import ConfigurationError
from schemas.settings import DatabaseSettings, KafkaSettings, Settings

ATTACH = """
import sys
from pathlib import Path
from journal_postfix.local import attach
from schemas.settings import Settings
with attach(Settings(data_dir=Path(sys.argv[1])), broker=False, database=True) as settings:
    print(settings.database.host, flush=True)
    sys.stdin.readline()
"""
UP = """
import sys
from pathlib import Path
from journal_postfix.local import LocalStack
from schemas.settings import DatabaseSettings, Settings
with LocalStack(Settings(data_dir=Path(sys.argv[1]), kafka={"bootstrap_servers": "127.0.0.1:1"})) as stack:
    print(stack.settings.database.host, flush=True)
    sys.stdin.readline()
"""

KAFKA = KafkaSettings(bootstrap_servers="kafka.example.org:9092")
POSTGRES = DatabaseSettings(host="db.example.org")


def answers(settings: Settings) -> bool:
    parameters: dict[str, Any] = settings.database.connection_parameters()
    with closing(psycopg2.connect(**parameters)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        return cursor.fetchone() == (1,)


@pytest.mark.kafka
@pytest.mark.postgres
def test_up_gives_the_addresses_of_what_it_runs_and_leaves_no_trace_of_running(embedded_settings: Settings) -> None:
    running = embedded_settings.data_dir / "running.json"
    with LocalStack(embedded_settings) as stack:
        assert answers(stack.settings)
        servers = stack.settings.kafka.bootstrap_servers
        assert AdminClient({"bootstrap.servers": servers}).list_topics(timeout=10).brokers
        record = json.loads(running.read_bytes())
        assert (record["pid"], record["bootstrap_servers"]) == (os.getpid(), servers)
        assert record["database"]["host"] == stack.settings.database.host
        assert stat.S_IMODE(running.stat().st_mode) == 0o600
        with attach(embedded_settings, broker=True, database=True) as complete:
            assert complete == stack.settings
    assert not running.exists()
    with pytest.raises(psycopg2.OperationalError):
        answers(stack.settings)


@pytest.mark.kafka
@pytest.mark.postgres
def test_part_that_dies_is_started_again_at_the_same_address(embedded_settings: Settings) -> None:
    with LocalStack(embedded_settings) as stack:
        folder = embedded_settings.data_dir
        killed = [_pid_of("kafka.Kafka", folder), _pid_of("bin/postgres", folder)]
        for pid in killed:
            assert pid is not None
            os.kill(pid, 9)
        deadline = time.monotonic() + 60
        while not (_answers_again(stack.settings) and _pid_of("kafka.Kafka", folder) not in killed):
            assert time.monotonic() < deadline, "it does not come back"
            time.sleep(0.1)
        admin = AdminClient({"bootstrap.servers": stack.settings.kafka.bootstrap_servers})
        assert admin.list_topics(timeout=60).brokers


def _pid_of(program: str, folder: Path) -> int | None:
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            command = (process / "cmdline").read_bytes()
            if program.encode() in command and bytes(folder) in command and b"guard.py" not in command:
                return int(process.name)
    return None


def _answers_again(settings: Settings) -> bool:
    try:
        return answers(settings)
    except psycopg2.OperationalError:
        return False


@pytest.mark.postgres
def test_second_up_in_a_folder_is_refused_and_names_the_first(data_dir: Path, run_python: Callable[..., Any]) -> None:
    up = run_python(UP, data_dir)
    assert up.stdout.readline()
    settings = Settings(data_dir=data_dir, kafka=KAFKA)
    with pytest.raises(ConfigurationError, match=rf"`journal-postfix up` runs in .*\(process {up.pid}\).*--data-dir"):
        LocalStack(settings).__enter__()
    with attach(settings, broker=False, database=True) as complete:
        assert answers(complete)


@pytest.mark.postgres
def test_up_follows_one_that_was_killed(data_dir: Path, run_python: Callable[..., Any]) -> None:
    killed = run_python(UP, data_dir)
    assert killed.stdout.readline()
    killed.kill()
    killed.wait()
    assert (data_dir / "running.json").exists()
    with LocalStack(Settings(data_dir=data_dir, kafka=KAFKA)) as stack:
        assert answers(stack.settings)


@pytest.mark.postgres
def test_command_after_an_up_that_was_killed_runs_what_it_needs(data_dir: Path, run_python: Callable[..., Any]) -> None:
    killed = run_python(UP, data_dir)
    assert killed.stdout.readline()
    killed.kill()
    killed.wait()
    with attach(Settings(data_dir=data_dir), broker=False, database=True) as complete:
        assert answers(complete)
    assert not (data_dir / "running.json").exists()


@pytest.mark.postgres
def test_two_commands_share_one_database_and_the_first_waits_for_the_second(
    data_dir: Path, run_python: Callable[..., Any]
) -> None:
    settings = Settings(data_dir=data_dir, kafka=KAFKA)
    with LocalStack(settings):
        pass
    first = run_python(ATTACH, data_dir)
    host = first.stdout.readline().strip()
    with attach(settings, broker=False, database=True) as complete:
        assert complete.database.host == host
        first.stdin.write("\n")
        first.stdin.flush()
        with pytest.raises(TimeoutError):
            _ended(first, 0.5)
        assert answers(complete)
    assert _ended(first, 30) == 0


def _ended(process: "subprocess.Popen[str]", seconds: float) -> int:
    try:
        return int(process.wait(seconds))
    except subprocess.TimeoutExpired:
        raise TimeoutError from None


@pytest.mark.postgres
def test_up_waits_for_a_command_that_runs_the_database(data_dir: Path, run_python: Callable[..., Any]) -> None:
    settings = Settings(data_dir=data_dir, kafka=KAFKA)
    with LocalStack(settings):
        pass
    command = run_python(ATTACH, data_dir)
    assert command.stdout.readline()
    up = run_python(UP, data_dir)
    command.stdin.write("\n")
    command.stdin.flush()
    assert up.stdout.readline().strip() == str(data_dir / "postgresql" / "run")
    assert _ended(command, 30) == 0


@pytest.mark.postgres
def test_command_that_needs_a_broker_which_up_does_not_run_is_told_so(
    data_dir: Path, run_python: Callable[..., Any]
) -> None:
    up = run_python(UP, data_dir)
    assert up.stdout.readline()
    (data_dir / "kafka").mkdir()
    (data_dir / "kafka" / "cluster-id").write_text("from a time before")
    with (
        pytest.raises(ConfigurationError, match=r"uses a Kafka of your own: give its address"),
        attach(Settings(data_dir=data_dir), broker=True, database=True),
    ):
        pytest.fail("it must not get this far")


@pytest.mark.parametrize(("broker", "database"), [(True, False), (False, True), (True, True)])
def test_command_without_data_says_to_run_up_first_and_makes_nothing(
    tmp_path: Path, *, broker: bool, database: bool
) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    with (
        pytest.raises(ConfigurationError, match=r"nothing here yet.*run `journal-postfix up"),
        attach(settings, broker=broker, database=database),
    ):
        pytest.fail("it must not get this far")
    assert not settings.data_dir.exists()


def test_command_with_everything_configured_does_not_look_at_the_data_folder(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data", kafka=KAFKA, database=POSTGRES)
    with attach(settings, broker=True, database=True) as complete:
        assert complete is settings
    assert not settings.data_dir.exists()


def test_up_with_everything_configured_starts_nothing(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data", kafka=KAFKA, database=POSTGRES)
    with LocalStack(settings) as stack:
        assert (stack.settings.kafka, stack.settings.database) == (KAFKA, POSTGRES)
        assert json.loads((tmp_path / "data" / "running.json").read_bytes())["bootstrap_servers"] is None
        assert not (tmp_path / "data" / "kafka").exists()
        assert not (tmp_path / "data" / "postgresql").exists()


def test_data_folder_is_closed_to_others(tmp_path: Path) -> None:
    data_dir = DataDir(tmp_path / "data")
    data_dir.make()
    mode = stat.S_IMODE(data_dir.path.stat().st_mode)
    assert mode == (0o711 if os.geteuid() == 0 else 0o700)  # root's database must get through, to its own folder
    assert stat.S_IMODE(data_dir.logs.stat().st_mode) == 0o700


def test_relative_data_folder_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with LocalStack(Settings(data_dir=Path("data"), kafka=KAFKA, database=POSTGRES)) as stack:
        assert stack.settings.data_dir == tmp_path / "data"


def test_data_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    settings = Settings(data_dir=tmp_path / "file" / "data", kafka=KAFKA, database=POSTGRES)
    with pytest.raises(
        ConfigurationError, match=r"^cannot write in .*file/data: Not a directory\. .*--data-dir[^\n]*$"
    ):
        LocalStack(settings).__enter__()


def test_failure_of_one_part_leaves_none_running(data_dir: Path, tmp_path: Path) -> None:
    settings = Settings(data_dir=data_dir, java=tmp_path / "java")
    with pytest.raises(ConfigurationError, match="is no java"):
        LocalStack(settings).__enter__()
    assert not (data_dir / "postgresql" / "data" / "postmaster.pid").exists()
    assert not (data_dir / "running.json").exists()
    with DataDir(data_dir).held("up"):
        pass
