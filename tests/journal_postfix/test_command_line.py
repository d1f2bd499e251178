import errno
import os
import re
import subprocess
import sys
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from journal_postfix import __version__
from journal_postfix.application import application
from journal_postfix.commands import replay
from journal_postfix.failures import full_disk_named
from journal_postfix.settings_flags import nested
from schemas.errors import JournalPostfixError
from sinks import second_sets
from sinks.comparing import Compared

if TYPE_CHECKING:
    from click.testing import Result

SAMPLE = str(files("journal_postfix") / "data/sample.log")
COMMANDS = (
    ("up",), ("demo",), ("produce",), ("produce", "logfile"), ("produce", "journal"), ("produce", "stdin"), ("stream",),
    ("sink",), ("deliveries",), ("rejects",), ("trace",), ("check",), ("topics",), ("acls",), ("roles",), ("migrate",),
    ("stats",), ("top",), ("purge",), ("erase",), ("replay",), ("replay", "diff"), ("replay", "swap"),
)  # fmt: skip


@pytest.fixture(autouse=True)
def _no_settings_from_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.startswith("JOURNAL_POSTFIX_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "80")


def run(*arguments: str) -> "Result":
    return CliRunner().invoke(application, arguments)


def process(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "journal_postfix", *arguments]
    return subprocess.run(
        command, env={**os.environ, **environment}, text=True, capture_output=True, timeout=120, check=False
    )


def test_the_version_is_that_of_the_package() -> None:
    result = run("--version")
    assert (result.exit_code, result.stdout) == (0, f"journal-postfix {__version__}\n")


def test_help_groups_the_commands_in_the_order_of_the_flow() -> None:
    result = run("--help")
    assert result.exit_code == 0
    panels = re.findall(r"╭─ (.*?) ─|│ (\w+) {2,}\w", result.stdout.partition("─╯")[2])
    assert [panel or name for panel, name in panels] == [
        "Run the pipeline", "up", "demo", "produce", "stream", "sink",
        "Look at the mail", "deliveries", "rejects", "trace",
        "Operate", "check", "topics", "acls", "roles", "migrate", "stats", "top", "purge", "erase", "replay",
    ]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_says_what_it_is_for_at_80_columns(command: tuple[str, ...]) -> None:
    result = run(*command, "--help")
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= 80
    if command not in {("demo",), ("produce",)}:
        name = f"journal-postfix {' '.join(command)}"
        assert any(name in line for line in result.stdout.split("Example")[1].splitlines())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("deliveries", "--since", "soon"), "cannot read the time 'soon'"),
        (("--config", "/nowhere.yaml", "check"), "settings file /nowhere.yaml does not exist"),
        (("--config", "/bin/ls", "check"), "/bin/ls is no"),
        (("replay", "swap", "public"), "schema public holds the live tables"),
        (("check", "--database-port", "99999"), "wrong settings: database.port"),
        (("up", "--timezone", "Mars/Olympus", "--logfile", "x"), "unknown time zone 'Mars/Olympus'"),
        (("up", "--once", "--logfile", "/nowhere.log"), "/nowhere.log does not exist"),
        (("up", "/nowhere.log", "--once"), "/nowhere.log does not exist"),
        (("deliveries",), "nothing here yet"),
        (("top", "--once"), "nothing here yet"),
        (("topics",), "nothing here yet"),
        (("dead-letters", "list", "--database-host", "db.example.org"), "no Kafka is configured"),
        (("replay", "--since", "1d", "--database-host", "db.example.org"), "no Kafka is configured"),
        (("deliveries", "--bootstrap-servers", "kafka.example.org:9092"), "no PostgreSQL is configured"),
        (("produce", "logfile", SAMPLE), "no Kafka is configured"),
        (("stream",), "no Kafka is configured"),
        (("sink",), "no Kafka is configured"),
        (("sink", "--bootstrap-servers", "localhost:1"), "no PostgreSQL is configured"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_and_with_exit_code_2(arguments: tuple[str, ...], message: str) -> None:
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    [line] = result.stderr.splitlines()
    assert line.startswith("journal-postfix: ")
    assert message in line


@pytest.mark.parametrize(
    "arguments",
    [
        ("deliveries", "--limit", "-1"), ("deliveries", "--format", "xml"), ("nonsense",), ("trace",),
        ("stats", "--since", "1d"), ("up", "--year", "26"), ("produce", "logfile", SAMPLE, "--year", "1970"),
        ("up", "--year", "2200"), ("up", "--year", "20260"),
    ],
)  # fmt: skip
def test_wrong_usage_has_exit_code_2(arguments: tuple[str, ...]) -> None:
    assert run(*arguments).exit_code == 2


def test_a_flag_may_stand_before_or_after_the_command_and_the_latter_is_stronger() -> None:
    assert "wrong settings: database.port" in run("--database-port", "99999", "deliveries").stderr
    assert "nothing here yet" in run("--database-port", "99999", "deliveries", "--database-port", "5432").stderr


def test_flags_are_stronger_than_the_environment_and_that_than_the_file(tmp_path: Path, free_port: int) -> None:
    config = tmp_path / "settings.yaml"
    config.write_text(f"database: {{host: 127.0.0.1, port: {free_port}, dbname: from_file}}\n")
    by_file = process("deliveries", "--config", str(config))
    by_environment = process("deliveries", "--config", str(config), JOURNAL_POSTFIX_DATABASE__DBNAME="from_env")
    by_flag = process(
        "deliveries", "--config", str(config), "--database-name", "from_flag",
        JOURNAL_POSTFIX_DATABASE__DBNAME="from_env",
    )  # fmt: skip
    for result, name in ((by_file, "from_file"), (by_environment, "from_env"), (by_flag, "from_flag")):
        assert f"database {name} at 127.0.0.1 does not answer" in result.stderr
        assert (result.returncode, len(result.stderr.splitlines())) == (1, 1)


def test_flags_become_settings_as_they_are_nested() -> None:
    flags = {"database_name": "mail", "database_port": 1, "data_dir": None, "log_level": "debug", "timezone": "UTC"}
    expected = {"database": {"dbname": "mail", "port": 1}, "log_level": "debug", "producer": {"timezone": "UTC"}}
    assert nested(flags) == expected


def test_a_broker_that_does_not_answer_is_one_line_and_exit_code_1(free_port: int) -> None:
    result = process("topics", "--bootstrap-servers", f"127.0.0.1:{free_port}")
    assert (result.returncode, result.stdout) == (1, "")
    [line] = result.stderr.splitlines()
    assert f"Kafka at 127.0.0.1:{free_port} does not answer" in line
    assert "Connection refused" in line


def test_check_names_what_is_wrong_and_goes_on(free_port: int) -> None:
    where = f"127.0.0.1:{free_port}"
    result = process(
        "check", "--bootstrap-servers", where, "--database-host", "127.0.0.1", "--database-port", str(free_port)
    )
    assert result.returncode == 1
    marks = [line[0] for line in result.stdout.splitlines()]
    assert marks == ["✓", "✗", "✗"]


def test_an_unexpected_exception_is_one_line_and_debug_shows_the_traceback(tmp_path: Path) -> None:
    # A directory where a file is expected is not what `load` looks for: it is a file, but no one may decode it.
    config = tmp_path / "settings.yaml"
    config.write_text("{}\n")
    broken = {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    (tmp_path / "sitecustomize.py").write_text(
        "import schemas.settings\ndef load(*_): raise ZeroDivisionError('odd\\nthing')\nschemas.settings.load = load\n"
    )
    quiet = process("deliveries", **broken)
    assert quiet.returncode == 1
    [line] = quiet.stderr.splitlines()
    assert line == "journal-postfix: unexpected ZeroDivisionError: odd thing; --log-level debug shows the traceback"
    loud = process("deliveries", "--log-level", "debug", **broken)
    assert "Traceback (most recent call last)" in loud.stderr
    assert loud.returncode == 1


TERMINALS = {
    "C": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "ISO-8859-1": {"PYTHONIOENCODING": "iso-8859-1:strict"},
}


@pytest.mark.parametrize("terminal", TERMINALS)
@pytest.mark.parametrize("arguments", [("--help",), ("deliveries", "--help"), ("--manual",), ("trace", "é\xff@x")])
def test_a_terminal_that_is_not_utf_8_shows_what_it_can(terminal: str, arguments: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "journal_postfix", *arguments]
    result = subprocess.run(
        command, env=os.environ | TERMINALS[terminal], capture_output=True, timeout=120, check=False
    )
    assert b"Traceback" not in result.stderr
    assert b"unexpected" not in result.stderr
    assert result.returncode == (2 if "trace" in arguments else 0)  # nothing here yet


def test_ctrl_c_while_the_program_is_loaded_is_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "class Hasty:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'typer': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Hasty())\n"
    )
    result = process("--help", PYTHONPATH=str(tmp_path))
    assert (result.returncode, result.stdout, result.stderr) == (130, "", "")


@pytest.mark.parametrize(
    ("error", "named"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "/srv/mail: no space"),
        (OSError(errno.EDQUOT, "Disk quota exceeded", "/srv/x/lock"), "/srv/x/lock: no space"),
    ],
)
def test_a_full_disk_is_named(error: OSError, named: str) -> None:
    with pytest.raises(JournalPostfixError, match=f"{named}.*make room"), full_disk_named(Path("/srv/mail")):
        raise error


def test_an_output_that_is_full_is_one_line() -> None:
    with Path("/dev/full").open("w", encoding="ascii") as full:
        command = [sys.executable, "-m", "journal_postfix", "acls", "sink", "--principal", "User:x"]
        result = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=120, check=False)
    assert result.returncode == 1
    [line] = result.stderr.splitlines()
    assert line.startswith("journal-postfix: standard output or ")
    assert ": no space is left on its disk; make room there" in line


_TABLE = """
import typer
from rich.console import Console
from journal_postfix.failures import reported
application = typer.Typer()
@application.command()
def table() -> None:
    with reported(tracebacks=False):
        for number in range(100_000):
            Console().print(number)
application()
"""


def test_whoever_has_seen_enough_of_a_table_makes_no_failure_of_it() -> None:
    with subprocess.Popen([sys.executable, "-c", _TABLE], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"0\n"
        process.stdout.close()  # as `head` does
        assert (process.stderr.read(), process.wait(60)) == (b"", 0)


@pytest.mark.parametrize(("equal", "said"), [(0, "nothing was compared"), (7, "")])
def test_a_comparison_of_nothing_says_so(monkeypatch: pytest.MonkeyPatch, equal: int, said: str) -> None:
    monkeypatch.setattr(replay, "attach", lambda settings, **_: nullcontext(settings))
    since = datetime(2026, 11, 23, tzinfo=UTC)
    there = second_sets.Replayed(since=since, until=since + timedelta(days=1))
    monkeypatch.setattr(replay.second_sets, "replayed", lambda *_: there)
    monkeypatch.setattr(replay, "compare", lambda *_: iter([Compared("delivery_from", equal), Compared("delivery_to")]))
    result = run("replay", "diff", "replayed")
    assert result.exit_code == 0
    assert said in result.stderr
    assert bool(result.stderr) is bool(said)
