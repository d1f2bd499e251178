"""The documentation's calls of journal-postfix, and a place to run them in.

In a block of `console` or `sh`, lines that begin with ``$`` are commands and the others are what they print; a block
without such lines holds commands only. ``…`` on a line of its own stands for any further output.
"""

import re
import secrets
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from psycopg2 import sql

from journal_postfix.local.database_config import ROLE

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
ELSEWHERE = {"--config", "--data-dir"}
"""Flags whose files are not here."""


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


@contextmanager
def place(broker: Any, postgres: Any, data_dir: Path) -> Iterator[dict[str, str]]:
    """Give the environment of an installation on a Kafka and a PostgreSQL, with nothing in it yet."""
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
        "JOURNAL_POSTFIX_DATA_DIR": str(data_dir),
        **{
            f"JOURNAL_POSTFIX_DATABASE__{field.upper()}": str(value)
            for field, value in owner.model_dump(mode="json", exclude_none=True).items()
            if field != "password"
        },
    }
    if owner.password is not None:
        environment["JOURNAL_POSTFIX_DATABASE__PASSWORD"] = owner.password.get_secret_value()
    yield environment
    postgres.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


def here(arguments: tuple[str, ...]) -> list[str]:
    """Return *arguments* without what says where another installation is."""
    kept = list(arguments)
    for flag in ELSEWHERE & set(kept):
        del kept[kept.index(flag) : kept.index(flag) + 2]
    return kept
