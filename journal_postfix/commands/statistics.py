"""``stats``: what became of the lines that were read."""

import sys
from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec
import typer
from rich.console import Console

from journal_postfix.line_counts import read_counts
from journal_postfix.local import attach
from journal_postfix.rendering.line_counts import count_lines
from schemas.settings import Settings
from web.searches.records import json_line


def stats(
    settings: Settings,
    *,
    output: Annotated[Literal["table", "json"], typer.Option("--format", help="How to print.")] = "table",
) -> None:
    """Show what became of the lines that were read, and which lines are unknown.

    Every line is parsed (it tells something about a message), ignored (known, and tells no message's fate; by
    class) or unparsed: a line of Postfix that the parser does not know, shown by daemon with samples. The sums
    are exact: they are committed together with what they count. Below, when each host was heard last.

    [bold]Examples[/]

    [cyan]journal-postfix stats[/]
    [cyan]journal-postfix stats --format json | jq .unknown[/]
    """
    with attach(settings, broker=True, database=False) as complete:
        counts = read_counts(complete)
    if output == "json":
        sys.stdout.buffer.write(json_line(msgspec.to_builtins(counts)).encode() + b"\n")
        return
    console = Console(highlight=False)
    for line in count_lines(counts, console.width, datetime.now(UTC)):
        console.print(line, soft_wrap=True)
