"""Commands in the documentation exist, with their flags; those that only look are run, and print what is shown.

In a block of `console` or `sh`, lines that begin with ``$`` are commands and the others are what they print; a block
without such lines holds commands only. ``…`` on a line of its own stands for any further output.
"""

import re
import secrets
import shlex
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer
import typer.main
from psycopg2 import sql
from typer.testing import CliRunner

from journal_postfix.application import application
from journal_postfix.local.database_config import ROLE

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SAMPLE = str(files("journal_postfix") / "data/sample.log")
READ_ONLY = {"deliveries", "rejects", "trace", "stats", "dead-letters list"}
ELSEWHERE = {"--config", "--data-dir"}
"""Flags whose files are not here."""

TIME = re.compile(r"\b(?:\d{4}-)?\d\d-\d\d \d\d:\d\d(?::\d\d)?")


class Command(msgspec.Struct, frozen=True):
    """A call of journal-postfix in a page."""

    page: str
    line: int
    arguments: tuple[str, ...]
    output: str | None
    """What the page shows of it; None where it shows nothing."""

    @property
    def name(self) -> str:
        words = [word for word in self.arguments if not word.startswith("-")]
        return " ".join(words[:2]) if words[:1] in (["produce"], ["dead-letters"], ["replay"]) else "".join(words[:1])


def calls(shell: str) -> Iterator[tuple[str, ...]]:
    """Yield the arguments of each call of journal-postfix in a line of shell."""
    lexer = shlex.shlex(shell, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    tokens = iter([*lexer, ";"])
    for token in tokens:
        if set(token) <= set("<>"):
            next(tokens)  # a file
        elif set(token) <= set("|;&()"):
            while words and ("=" in words[0] or words[0] == "sudo"):
                words = words[3:] if words[0] == "sudo" else words[1:]  # sudo -u USER
            if words and Path(words[0]).name == "journal-postfix":
                yield tuple(words[1:])
            words = []
        else:
            words.append(token)


def commands_of(page: Path) -> Iterator[Command]:
    text = page.read_text(encoding="utf-8")
    for block in re.finditer(r"^```(?:console|sh)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        first = text.count("\n", 0, block.start(1)) + 1
        body = block[1].replace("\\\n", "  ")
        if re.search(r"^\$ ", body, re.MULTILINE):
            parts = [part.partition("\n") for part in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]]
        else:
            parts = [(line, "", "") for line in body.splitlines()]
        for shell, _, output in parts:
            line = first + body[: body.find(shell)].count("\n")
            for arguments in calls(shell):
                yield Command(str(page.relative_to(ROOT)), line, arguments, output or None)


COMMANDS = [command for page in PAGES for command in commands_of(page)]


def named(command: Command) -> str:
    return f"{command.page}:{command.line}:{command.name}"


def _stop(_context: Any, _option: Any, given: Any) -> None:
    if given:
        raise typer.Exit


def parse(*arguments: str) -> None:
    """Have the command line read *arguments* and do nothing. Raises what it says of wrong ones."""
    root: Any = typer.main.get_command(application)
    for option in root.params:
        if "completion" in option.name:
            option.callback = _stop  # it would write to a shell's files
    waiting = [root]
    while waiting:
        command = waiting.pop()
        if hasattr(command, "commands"):
            waiting.extend(command.commands.values())
        if not hasattr(command, "commands") or command.invoke_without_command:
            command.callback = lambda **_: None
    root.main([*arguments], prog_name="journal-postfix", standalone_mode=False)


@pytest.mark.parametrize("command", COMMANDS, ids=named)
def test_a_command_of_the_documentation_exists_with_its_flags(command: Command) -> None:
    parse(*command.arguments)


def test_the_pages_have_commands_of_every_kind() -> None:
    assert len(COMMANDS) > 60
    assert {command.name for command in COMMANDS} >= {*READ_ONLY, "up", "demo", "produce journal", "stream", "sink"}


@pytest.mark.parametrize(
    "arguments",
    [("deliverys",), ("deliveries", "--recipients", "x"), ("sink", "--workers", "many"), ("check", "--stage", "web2"),
     ("produce", "logfile"), ("trace", "a", "b")],
    ids=" ".join,
)  # fmt: skip
def test_a_command_that_does_not_exist_would_be_found(arguments: tuple[str, ...]) -> None:
    with pytest.raises(Exception, match=r"(?i)no such|should be|is not one of|missing|unexpected"):
        parse(*arguments)


def test_calls_are_found_wherever_they_stand_in_a_line() -> None:
    line = "A=1 /x/bin/journal-postfix stats > journal-postfix | jq .; sudo -u me journal-postfix trace 'a b' # why"
    assert list(calls(line)) == [("stats",), ("trace", "a b")]
    assert list(calls("systemctl enable journal-postfix.target && echo journal-postfix")) == []


@pytest.fixture(scope="module")
def demonstration(broker: Any, postgres: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Give the environment in which the packaged sample is in Kafka and PostgreSQL."""
    dbname, prefix = f"t{secrets.token_hex(6)}", f"t{secrets.token_hex(4)}"
    name = sql.Identifier(dbname)
    postgres.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(name, sql.Identifier(ROLE)))
    owner = postgres.owner.model_copy(update={"dbname": dbname})
    environment = {
        "COLUMNS": "80",
        "TZ": "UTC",
        "JOURNAL_POSTFIX_KAFKA__BOOTSTRAP_SERVERS": broker.bootstrap_servers,
        "JOURNAL_POSTFIX_KAFKA__TOPIC_PREFIX": f"{prefix}.",
        "JOURNAL_POSTFIX_KAFKA__PARTITIONS": "2",
        "JOURNAL_POSTFIX_STREAM__APPLICATION": f"stream-{prefix}",
        "JOURNAL_POSTFIX_SINK__GROUP": f"sink-{prefix}",
        "JOURNAL_POSTFIX_PRODUCER__TIMEZONE": "UTC",
        "JOURNAL_POSTFIX_DATA_DIR": str(tmp_path_factory.mktemp("data")),
        **{
            f"JOURNAL_POSTFIX_DATABASE__{field.upper()}": str(value)
            for field, value in owner.model_dump(mode="json", exclude_none=True).items()
            if field != "password"
        },
    }
    if owner.password is not None:
        environment["JOURNAL_POSTFIX_DATABASE__PASSWORD"] = owner.password.get_secret_value()
    fed = CliRunner().invoke(application, ["up", "--once", "--logfile", SAMPLE], env=environment)
    assert fed.exit_code == 0, fed.output
    yield environment
    postgres.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


def here(arguments: tuple[str, ...]) -> list[str]:
    """Return *arguments* without what says where another installation is."""
    kept = list(arguments)
    for flag in ELSEWHERE & set(kept):
        del kept[kept.index(flag) : kept.index(flag) + 2]
    return kept


def comparable(text: str) -> list[str]:
    """Return the lines of *text* without moments, which have a year if they are not of this one, and without gaps."""
    return [" ".join(TIME.sub("TIME", line).split()) for line in text.strip().splitlines()]


@pytest.mark.kafka
@pytest.mark.postgres
@pytest.mark.parametrize("command", [command for command in COMMANDS if command.name in READ_ONLY], ids=named)
def test_a_question_of_the_documentation_can_be_asked(command: Command, demonstration: dict[str, str]) -> None:
    result = CliRunner().invoke(application, here(command.arguments), env=demonstration)
    if command.output is None:
        of_nobody = command.name == "trace" and "no message has the queue id" in result.stderr
        assert result.exit_code == (1 if of_nobody else 0), result.output
        return
    assert result.exit_code == 0, result.output
    shown, printed = comparable(command.output), comparable(result.stdout)
    if "…" in shown:
        shown = shown[: shown.index("…")]
        printed = printed[: len(shown)]
    assert printed == shown


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_link_leads_to_a_page_and_its_heading(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target, _, heading in (link.partition("#") for link in re.findall(r"\]\(([^)\s]+)\)", text)):
        if "://" in target:
            continue
        file = page.parent / target if target else page
        assert file.exists(), target
        if heading:
            headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in headings}
            assert heading in slugs, f"{target}#{heading}"
