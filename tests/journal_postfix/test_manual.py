"""The manual page and the shell's completion know every command and option."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from journal_postfix.application import application
from journal_postfix.manual import page

COMPLETE = "_JOURNAL_POSTFIX_COMPLETE"


@pytest.fixture(scope="module")
def manual() -> str:
    result = CliRunner().invoke(application, ["--manual"])
    assert result.exit_code == 0, result.output
    return result.stdout


def commands(group: Any, path: str = "journal-postfix") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


def test_every_command_and_every_option_is_in_the_manual(manual: str) -> None:
    plain = manual.replace(r"\-", "-")
    found = dict(commands(typer.main.get_command(application)))
    assert len(found) > 10
    for path, command in found.items():
        assert re.search(rf"^\.SS {path}( |$)", plain, re.MULTILINE), path
        for parameter in command.params:
            if parameter.param_type_name == "option" and not parameter.hidden:
                assert rf"\fB{parameter.opts[0]}\fR" in plain, (path, parameter.opts)


def test_the_manual_has_no_markup_left(manual: str) -> None:
    assert not re.search(r"\[/|\[(bold|cyan)", manual)


def test_man_understands_the_manual(manual: str) -> None:
    groff = shutil.which("groff")
    if groff is None:
        pytest.skip("groff is not installed")
    done = subprocess.run(
        [groff, "-man", "-K", "utf8", "-T", "utf8", "-ww"], input=manual, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    text = re.sub(r"\x1b\[[0-9;]*m|.\x08", "", done.stdout)
    assert "journal-postfix produce logfile FILES" in text
    assert "journal-postfix deliveries --status bounced" in text


def test_text_is_no_request_to_roff() -> None:
    group = typer.Typer()

    def odd() -> None:
        """.so /etc/passwd."""

    group.command()(odd)
    group.callback()(lambda: None)
    command = typer.main.get_command(group)
    command.help = "'Quoted' \\fBnot bold"
    text = page(command, "1", "")
    assert "\n\\&.so /etc/passwd." in text
    assert "\n\\&'Quoted' \\efBnot bold" in text


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("journal-postfix de", {"demo", "deliveries"}),
        ("journal-postfix produce ", {"logfile", "journal", "stdin"}),
        ("journal-postfix migrate --grant", {"--grant-to-sink", "--grant-to-reader"}),
    ],
)
def test_the_shell_completes(shell: str, typed: str, expected: set[str]) -> None:
    environment = {**os.environ, COMPLETE: f"complete_{shell}", "_TYPER_COMPLETE_ARGS": typed}
    if shell == "bash":
        words = typed.split(" ")
        environment |= {"COMP_WORDS": typed, "COMP_CWORD": str(len(words) - 1)}
    if shell == "fish":
        environment["_TYPER_COMPLETE_FISH_ACTION"] = "get-args"
    program = "from journal_postfix.__main__ import main; import sys; sys.argv = ['journal-postfix']; main()"
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    offered = set(re.findall(r"[\w-]+", done.stdout))
    assert expected <= offered, done.stdout


def test_completion_is_printed_for_a_shell_s_own_folder() -> None:
    environment = {**os.environ, COMPLETE: "source_bash"}
    done = subprocess.run(
        [sys.executable, "-m", "journal_postfix"],
        env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "complete -o default -F _journal_postfix_completion journal-postfix" in done.stdout
    checked = subprocess.run(["bash", "-n"], input=done.stdout, text=True, capture_output=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")
