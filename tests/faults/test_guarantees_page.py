"""The page of guarantees names faults of the suite, and each of them."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def faults_of(file: Path) -> set[str]:
    """Return the names in the ``fault`` markers of a test file."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.fault":
            found.add(ast.literal_eval(node.args[0]))
    return found


def test_each_promise_is_shown_by_faults_and_each_fault_shows_one() -> None:
    page = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
    rows = [line.split("|")[2] for line in page.splitlines() if line.startswith("| ") and "`" in line]
    named = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
    there = set().union(*map(faults_of, Path(__file__).parent.glob("test_*.py")))
    assert named == there


@pytest.mark.parametrize("word", ["stats", "dead-letters"])
def test_the_commands_that_it_names_are_there(word: str) -> None:
    from journal_postfix.application import application  # noqa: PLC0415 - all commands

    names = {group.name for group in application.registered_groups}
    names |= {(c.callback.__name__ if c.callback else "") for c in application.registered_commands}
    assert word in names
