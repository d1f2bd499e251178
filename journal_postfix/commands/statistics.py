"""``stats``: what became of the lines that were read, and of the mail that they tell of."""

import sys
from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec
import typer
from rich.console import Console

from journal_postfix.commands.asking import MOST_ROWS, as_logged, span
from journal_postfix.line_counts import read_counts
from journal_postfix.local import attach
from journal_postfix.mail_statistics import as_record, check_host, read_statistics
from journal_postfix.rendering.line_counts import count_lines
from journal_postfix.rendering.mail_statistics import statistics_lines
from schemas.settings import Settings
from web.searches.database import searching
from web.searches.records import Record, json_line

_MAIL = "With --mail"


def stats(
    settings: Settings,
    *,
    mail: Annotated[bool, typer.Option("--mail", help="Statistics of the mail instead of the lines.")] = False,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", rich_help_panel=_MAIL, help="Not before: 7d, yesterday, a date.")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", rich_help_panel=_MAIL, help="Before.")] = None,
    host: Annotated[
        str | None, typer.Option(metavar="HOST", rich_help_panel=_MAIL, callback=as_logged, help="One mail host.")
    ] = None,
    limit: Annotated[
        int, typer.Option(min=1, max=MOST_ROWS, rich_help_panel=_MAIL, help="Most rows of each list.")
    ] = 10,
    output: Annotated[Literal["table", "json"], typer.Option("--format", help="How to print.")] = "table",
) -> None:
    """Show what became of the lines that were read, or with --mail, of the mail.

    Every line is parsed (it tells something about a message), ignored (known, and tells no message's fate; by
    class) or unparsed: a line of Postfix that the parser does not know, shown by daemon with samples. The sums
    are exact: they are committed together with what they count. Below, when each host was heard last.

    --mail: volume, what was sent, deferred, bounced and refused, with its course; the destinations that fail, with
    what they said last, or are slow; why and which clients were refused. By default of the last 24 hours that the
    log has, by arrival, widened to whole hours. The lists of destinations and clients are of all hosts.

    [bold]Examples[/]

    [cyan]journal-postfix stats[/]
    [cyan]journal-postfix stats --format json | jq .unknown[/]
    [cyan]journal-postfix stats --mail --since 7d[/]
    [cyan]journal-postfix stats --mail --format json | jq '.failing_domains[].domain'[/]
    """
    if mail:
        _mail(settings, since, until, host, limit, output)
        return
    if since is not None or until is not None or host is not None:
        raise typer.BadParameter("--since, --until and --host need --mail: the counts of lines are of all time")
    with attach(settings, broker=True, database=False) as complete:
        counts = read_counts(complete)
    if output == "json":
        _print_json(msgspec.to_builtins(counts))
        return
    console = Console(highlight=False)
    for line in count_lines(counts, console.width, datetime.now(UTC)):
        console.print(line, soft_wrap=True)


def _mail(  # noqa: PLR0917 - each is a flag
    settings: Settings, since: str | None, until: str | None, host: str | None, limit: int, output: str
) -> None:
    first, last = span(since, until)
    with attach(settings, broker=False, database=True) as complete, searching(complete.database) as connection:
        if host is not None:
            check_host(connection, host)
        found = read_statistics(connection, first, last, host, limit)
    if output == "json":
        _print_json(as_record(found))
        return
    console = Console(highlight=False)
    for line in statistics_lines(found, console.width):
        console.print(line, soft_wrap=True)


def _print_json(record: Record) -> None:
    sys.stdout.buffer.write(json_line(record).encode() + b"\n")
