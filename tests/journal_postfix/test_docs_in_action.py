"""The documentation's commands that change something do it: in one place, page by page, in the order of the pages."""

import gzip
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from documented_commands import COMMANDS, Command, here, named, place
from psycopg2 import sql
from typer.testing import CliRunner

from journal_postfix.application import application

SAMPLE = Path(str(files("journal_postfix") / "data/sample.log"))
ROLES = ("journal_postfix_sink", "journal_postfix_reader")

NOT_HERE = {
    "--install-completion": "writes to a shell's files",
    "--show-completion": "asks which shell it was called from (test_manual.py)",
    "--journal": "needs a journal (tests/e2e/test_real_journald.py)",
    "produce journal": "needs a journal (tests/e2e/test_real_journald.py)",
    "roles": "needs a database that nobody has made tables in yet (tests/sinks/test_roles.py)",
}
"""What is not run, and why; by a word or the name of a command."""
THIS_MACHINE = ("up",)
"""Reads the log of the machine that it runs on: only with a log that is given it runs."""
ELSEWHERE_RUN = {"deliveries", "rejects", "trace", "stats", "dead-letters list"}
"""They only look: test_docs_commands.py."""
STAYING = {"up", "stream", "sink", "produce logfile", "produce stdin"}
"""They run until they are stopped, but for ``--once``."""

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]


def is_run(command: Command) -> bool:
    if command.name in ELSEWHERE_RUN or tuple(here(command.arguments)) == THIS_MACHINE:
        return False
    return not any(what == command.name or what in command.arguments for what in NOT_HERE)


def once_each(commands: list[Command]) -> list[Command]:
    """Return *commands* without those that are the same here."""
    return list({tuple(here(command.arguments)): command for command in reversed(commands)}.values())[::-1]


CHANGING = once_each([command for command in COMMANDS if is_run(command)])
STAGES = [command for command in CHANGING if command.name in STAYING and "--once" not in command.arguments]
SHORT = [command for command in CHANGING if command not in STAGES]


@pytest.fixture(scope="module")
def workshop(broker: Any, postgres: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Give an environment with topics, tables and roles, and logs where commands look for them."""
    folder = tmp_path_factory.mktemp("workshop")
    (folder / "log").mkdir()
    lines = SAMPLE.read_bytes().splitlines(keepends=True)
    earlier, later = b"".join(lines[:250]), b"".join(lines[250:])
    (folder / "log/mail.log").write_bytes(later)
    (folder / "log/mail.log.1").write_bytes(earlier)
    for name in ("mail.log.1.gz", "mail.log.2.gz"):
        (folder / "log" / name).write_bytes(gzip.compress(earlier))
    for role in ROLES:
        postgres.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(role)))
    with place(broker, postgres, folder / "data") as environment:
        for command in ("topics", "migrate"):
            made = CliRunner().invoke(application, [command], env=environment)
            assert made.exit_code == 0, made.output
        yield environment | {"LOGS": str(folder / "log")}
    for role in ROLES:
        postgres.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


def words(command: Command, environment: dict[str, str]) -> list[str]:
    """Return the command's arguments as they are in this place."""
    found = [word.replace("/var/log/", environment["LOGS"] + "/") for word in here(command.arguments)]
    if "--bootstrap-servers" in found:
        found[found.index("--bootstrap-servers") + 1] = environment["JOURNAL_POSTFIX_KAFKA__BOOTSTRAP_SERVERS"]
    return found


@pytest.mark.parametrize("command", SHORT, ids=named)
def test_a_command_that_ends_does_what_it_is_shown_for(
    command: Command, workshop: dict[str, str], data_dir: Path
) -> None:
    # Where a command brings a Kafka and a PostgreSQL of its own: the latter's user may enter that folder.
    environment = workshop | {"JOURNAL_POSTFIX_DATA_DIR": str(data_dir)}
    result = CliRunner().invoke(application, words(command, workshop), env=environment, input="y\n")  # if it asks
    assert result.exit_code == 0, result.output
    assert result.output or command.name in {"topics", "migrate"}


def test_the_stages_start_work_and_stop(workshop: dict[str, str], tmp_path: Path) -> None:
    """All of them together, as on a host; each says that it works, and ends in order when it is told to."""
    started: dict[str, tuple[subprocess.Popen[bytes], Path]] = {}
    try:
        for number, command in enumerate(STAGES):
            alive = tmp_path / f"alive-{number}"
            process = subprocess.Popen(
                [sys.executable, "-m", "journal_postfix", *words(command, workshop)],
                env={**os.environ, **workshop, "JOURNAL_POSTFIX_HEARTBEAT_FILE": str(alive)},
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            started[named(command)] = (process, alive)
        deadline = time.monotonic() + 90
        while any(not alive.exists() for _, alive in started.values()):
            ended = [name for name, (process, _) in started.items() if process.poll() is not None]
            late = [name for name, (_, alive) in started.items() if not alive.exists()]
            assert ended == [], ended
            assert time.monotonic() < deadline, late
            time.sleep(0.05)
        for process, _ in started.values():
            process.send_signal(signal.SIGTERM)
        assert {name: process.wait(60) for name, (process, _) in started.items()} == dict.fromkeys(started, 0)
    finally:
        for process, _ in started.values():
            if process.poll() is None:
                process.kill()
                process.wait()


def test_every_exception_is_one() -> None:
    for what in NOT_HERE:
        assert any(what == command.name or what in command.arguments for command in COMMANDS), what
