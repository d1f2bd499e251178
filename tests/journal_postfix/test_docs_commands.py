"""Commands in the documentation exist, with their flags; those that only look are run, and print what is shown."""

import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import typer
import typer.main
from documented_commands import COMMANDS, PAGES, ROOT, Command, calls, here, named, place
from typer.testing import CliRunner

from journal_postfix.application import application

SAMPLE = str(files("journal_postfix") / "data/sample.log")
READ_ONLY = {"deliveries", "rejects", "trace", "stats", "dead-letters list"}
TIME = re.compile(r"\b(?:\d{4}-)?\d\d-\d\d \d\d:\d\d(?::\d\d)?")


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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_stand_in_blocks_that_are_looked_at(page: Path) -> None:
    blocks = re.findall(r"^```([a-z]*)\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    calling = {language for language, body in blocks if re.search(r"^(?:\$ )?journal-postfix ", body, re.MULTILINE)}
    assert calling <= {"console", "sh"}


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
    with place(broker, postgres, tmp_path_factory.mktemp("data")) as environment:
        fed = CliRunner().invoke(application, ["up", "--once", "--logfile", SAMPLE], env=environment)
        assert fed.exit_code == 0, fed.output
        yield environment


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
def test_what_runs_as_another_user_is_named_with_its_folder(page: Path) -> None:
    # sudo looks in folders of its own, and not where this shell's PATH says.
    programs = re.findall(r"\bsudo -u \S+ (\S*journal-postfix) ", page.read_text(encoding="utf-8"))
    assert set(programs) <= {"/opt/journal-postfix/bin/journal-postfix"}


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.page == "docs/own-kafka.md"], ids=named)
def test_with_your_own_kafka_each_command_is_told_where_it_is(command: Command) -> None:
    assert {"--config", "--database-host"} & set(command.arguments)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_folder_that_a_fresh_debian_lacks_is_made_before_something_is_written_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for folder in re.findall(r"^[^#\n]* > (/usr/local/share/man/man1|/etc/journal-postfix)/", text, re.MULTILINE):
        made = re.search(rf"^(?:mkdir --parents|install -d) .*{folder}", text, re.MULTILINE)
        assert made is not None, folder
        assert made.start() < text.index(f" > {folder}/")


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


def test_the_list_of_pages_has_every_page() -> None:
    listed = re.findall(r"\]\(([^)#]+)", (ROOT / "docs/README.md").read_text(encoding="utf-8"))
    assert {page.name for page in (ROOT / "docs").glob("*.md")} - {"README.md"} <= set(listed)
