"""The documentation's commands that change something do it: in one place, page by page, in the order of the pages."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from documented_commands import COMMANDS, Command, here, named, place
from psycopg2 import sql
from typer.testing import CliRunner

from journal_postfix.application import application

SAMPLE = Path(str(files("journal_postfix") / "data/sample.log"))
ROLES = ("journal_postfix_migrator", "journal_postfix_sink", "journal_postfix_reader")

NOT_HERE = {
    "--install-completion": "writes to a shell's files",
    "--journal": "needs a journal (tests/e2e/test_real_journald.py)",
    "produce journal": "needs a journal (tests/e2e/test_real_journald.py)",
}
"""What is not run, and why; by a word or the name of a command."""
ELSEWHERE_RUN = {"deliveries", "rejects", "trace", "stats", "dead-letters list"}
"""They only look: test_docs_commands.py."""
STAYING = {"up", "stream", "sink", "produce logfile", "produce stdin"}
"""They run until they are stopped, but for ``--once``."""

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]


def reason(command: Command) -> str | None:
    return next((why for what, why in NOT_HERE.items() if what == command.name or what in command.arguments), None)


def once_each(commands: list[Command]) -> list[Command]:
    """Return *commands* without those that are the same here."""
    return list({tuple(here(command.arguments)): command for command in reversed(commands)}.values())[::-1]


CHANGING = once_each([command for command in COMMANDS if command.name not in ELSEWHERE_RUN and reason(command) is None])
STAGES = [command for command in CHANGING if command.name in STAYING and "--once" not in command.arguments]
SHORT = [command for command in CHANGING if command not in STAGES]


@pytest.fixture(scope="module")
def workshop(broker: Any, postgres: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Give an environment with topics and tables, passwords for roles, and logs where commands look for them."""
    folder = tmp_path_factory.mktemp("workshop")
    (folder / "log").mkdir()
    text = SAMPLE.read_bytes().splitlines(keepends=True)
    (folder / "log/mail.log").write_bytes(b"".join(text[len(text) // 2 :]))
    for name in ("mail.log.1", "mail.log.1.gz", "mail.log.2.gz"):
        (folder / "log" / name).write_bytes(b"".join(text[: len(text) // 2]))
    (folder / "secrets").mkdir()
    for role in ROLES:
        (folder / "secrets" / role).write_text("not-so-secret")
    with place(broker, postgres, folder / "data") as environment:
        for command in ("topics", "migrate"):
            made = CliRunner().invoke(application, [command], env=environment)
            assert made.exit_code == 0, made.output
        yield environment | {
            "LOGS": str(folder / "log"),
            "SECRETS": str(folder / "secrets"),
            "SUPERUSER": str(postgres.superuser.user),
        }
    for role in ROLES:
        try:
            postgres.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role)))
        except psycopg2.errors.DependentObjectsStillExist:  # somebody else's database has it too
            continue


def words(command: Command, environment: dict[str, str]) -> list[str]:
    """Return the command's arguments as they are in this place."""
    places = {
        "/var/log/": environment["LOGS"] + "/",
        "/etc/journal-postfix/secrets": environment["SECRETS"],
    }
    found = []
    for word in here(command.arguments):
        for there, ours in places.items():
            word = word.replace(there, ours)  # noqa: PLW2901 - the same word
        found.append(word)
    if command.name == "roles":
        found[found.index("--database-user") + 1] = environment["SUPERUSER"]
    if "--bootstrap-servers" in found:
        found[found.index("--bootstrap-servers") + 1] = environment["JOURNAL_POSTFIX_KAFKA__BOOTSTRAP_SERVERS"]
    return found


@pytest.mark.parametrize("command", SHORT, ids=named)
def test_a_command_that_ends_does_what_it_is_shown_for(
    command: Command, workshop: dict[str, str], data_dir: Path
) -> None:
    # Where a command brings a Kafka and a PostgreSQL of its own: the latter's user may enter that folder.
    environment = workshop | {"JOURNAL_POSTFIX_DATA_DIR": str(data_dir)}
    result = CliRunner().invoke(application, words(command, workshop), env=environment)
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
