"""``replay``, ``replay diff|swap``: the lines that Kafka still has once more, with the present parser."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec
import typer
from rich.console import Console

from journal_postfix.broker import require_kafka
from journal_postfix.commands.asking import MOST_ROWS
from journal_postfix.everything import console_of_messages, teller
from journal_postfix.failures import FAILED, WRONG_USE, complain
from journal_postfix.interrupts import Interruption, interruptible
from journal_postfix.local import attach
from journal_postfix.rendering.reading import ReadingBar
from journal_postfix.rendering.replaying import Standings, comparison_lines, outcome_lines
from journal_postfix.replaying import targets
from journal_postfix.replaying.running import Tell
from journal_postfix.settings_flags import with_settings
from schemas.errors import ConfigurationError, TryAgainLaterError
from schemas.moments import parse_time
from schemas.settings import Settings
from sinks import second_sets
from sinks.comparing import Compared, Difference, compare
from web.searches.records import json_line

application = typer.Typer(rich_markup_mode="rich", subcommand_metavar="[diff|swap SCHEMA]")

Schema = Annotated[str, typer.Argument(metavar="SCHEMA", help="Where `replay --into` wrote.")]


@application.callback(invoke_without_command=True)
@with_settings
def replay(
    settings: Settings,
    *,
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="From when on: 2h, 3d, yesterday, a date; as lines came to Kafka."),
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Up to then; else up to now.")] = None,
    into: Annotated[
        str | None, typer.Option(metavar="SCHEMA", help="Write a second set of tables there, to compare and swap.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Read the log that Kafka still has once more, with the present parser, while the stages work.

    In place, rows get better and never worse: what an older parser left out is filled in, of two readings of one line
    the newer parser's counts, and a parser that is older changes nothing. Run it after an upgrade that reads lines
    better. Rows that only a wrong reading made (of an address, say) stay: for these, make a second set of tables with
    --into.

    Sinks and streams go on, and notice nothing. A replay that was broken off may be run again: with --into it goes on
    where it was. Nobody who was erased, and nothing that is older than retention.*_days, comes back.

    [bold]Examples[/]

    [cyan]journal-postfix replay --since 2d[/]
    [cyan]journal-postfix replay --since 2026-11-20 --into replayed[/]
    [cyan]journal-postfix replay diff replayed[/]
    [cyan]journal-postfix replay swap replayed[/]
    """
    if since is None:
        raise ConfigurationError("from when on? Give --since, such as --since 2d; or `replay diff`, `replay swap`")
    now = datetime.now(UTC)
    begin = parse_time(since, now=now)
    end = parse_time(until, now=now) if until is not None else None
    if end is not None and end <= begin:
        raise ConfigurationError(f"--until {until} is not after --since {since}")
    with attach(settings, broker=True, database=True) as complete, _showing() as (interruption, tell):
        require_kafka(complete)
        if into is None:
            outcome = targets.in_place(complete, begin, end, interruption.stop, tell)
        else:
            outcome = targets.into(complete, into, begin, end, interruption.stop, tell)
    if as_json:
        typer.echo(json.dumps(msgspec.to_builtins(outcome), indent=2))
    else:
        for line in outcome_lines(outcome):
            typer.echo(line)
    if not outcome.finished:
        complain("interrupted: what was read is written; the same command does the rest")
        raise typer.Exit(interruption.exit_code())


@application.command()
@with_settings
def diff(
    settings: Settings,
    schema: Schema,
    *,
    limit: Annotated[int, typer.Option(min=0, max=MOST_ROWS, help="Most examples of each table.")] = 10,
    output: Annotated[Literal["table", "jsonl"], typer.Option("--format", help="How to print.")] = "table",
) -> None:
    """Say what the replayed tables tell otherwise than the live ones.

    Of the mail that arrived in the time that was replayed: rows that both have alike, that differ (and in which
    columns), and that only one of them has; with examples, live → replayed. PARTS are rows of messages that arrived
    before, which a swap joins with these. Which parser read a row is no difference.

    Exit code 0: no difference; 1: some; 2: trouble, as of diff.

    [bold]Examples[/]

    [cyan]journal-postfix replay diff replayed[/]
    [cyan]journal-postfix replay diff replayed --limit 1000 --format jsonl | jq .columns[/]
    """
    try:
        with attach(settings, broker=False, database=True) as complete:
            there = second_sets.replayed(second_sets.in_schema(complete, schema), schema)
            if there is None or there.until <= there.since:
                raise ConfigurationError(f"schema {schema} is not complete: run its `replay --into {schema}` again")
            found = list(compare(complete, schema, there.since, there.until, limit))
    except TryAgainLaterError as error:  # 1 is for differences
        complain(str(error))
        raise typer.Exit(WRONG_USE) from None
    if output == "jsonl":
        for each in found:
            kind = {"kind": "counts"} if isinstance(each, Compared) else {}
            sys.stdout.buffer.write(json_line({**kind, **msgspec.to_builtins(each)}).encode() + b"\n")
    else:
        console = Console(highlight=False)
        console.print(f"Mail that arrived from {there.since:%Y-%m-%d %H:%M} to {there.until:%Y-%m-%d %H:%M} (UTC)")
        for line in comparison_lines(found):
            console.print(line, soft_wrap=True)
    if not any(_rows(each) for each in found if isinstance(each, Compared)):
        complain("nothing was compared: neither set of tables has mail of that time")
    if not all(each.same for each in found if not isinstance(each, Difference)):
        raise typer.Exit(FAILED)


def _rows(table: Compared) -> int:
    return table.equal + table.different + table.only_live + table.only_replayed + table.parts


@application.command()
@with_settings
def swap(
    settings: Settings,
    schema: Schema,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask before.")] = False,
) -> None:
    """Put the replayed days in the place of the live ones, while the stages work.

    Whole days (UTC), from the first of which everything was replayed, up to now. First the lines that came meanwhile
    are replayed; then sinks wait for some seconds, while the last of them are, and the days change places. Nothing that
    a sink has stored, or stores later, is lost. The old days are in SCHEMA afterwards, to look at: drop it when you
    don't need it (DROP SCHEMA … CASCADE). Upgrade the stages before, so that they don't go on writing as they did.

    [bold]Examples[/]

    [cyan]journal-postfix replay swap replayed[/]
    """
    second_sets.in_schema(settings, schema)
    if not yes:
        typer.confirm("Put the replayed days in the place of the live ones?", abort=True, err=True)
    with attach(settings, broker=True, database=True) as complete, _showing() as (interruption, tell):
        require_kafka(complete)
        swapped = targets.swap(complete, schema, interruption.stop, tell)
    if swapped is None:
        complain("interrupted: nothing was swapped; the same command goes on from there")
        raise typer.Exit(interruption.exit_code())
    typer.echo(f"swapped {swapped.days} days from {swapped.first} on; sinks waited for {swapped.seconds:.1f} s")
    typer.echo(f"the old rows are in schema {schema}")


@contextmanager
def _showing() -> Iterator[tuple[Interruption, Tell]]:
    """Give what tells of a wish to stop, and what shows how far a replay is."""
    console = console_of_messages()
    with (
        interruptible() as interruption,
        ReadingBar(console, shown=console.is_terminal) as bar,
    ):
        yield interruption, Standings(bar if console.is_terminal else None, teller(console)).show
