"""``dead-letters list|show|retry``: what could not be used, and trying it again."""

import sys
from datetime import UTC, datetime
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.text import Text

from journal_postfix.dead_letters import Letter, Wanted, letters
from journal_postfix.failures import FAILED, complain
from journal_postfix.local import attach
from journal_postfix.rendering.characters import for_terminal, plain
from journal_postfix.rendering.dead_letters import letter_in_full, letter_lines
from journal_postfix.retrying import needs_database
from journal_postfix.retrying import retry as retry_letters
from journal_postfix.settings_flags import with_settings
from schemas.errors import ConfigurationError
from schemas.moments import parse_time
from schemas.settings import Settings
from web.searches.records import Record, csv_lines, json_line

FIELDS = ("id", "written", "times", "stage", "topic", "partition", "offset", "source", "length", "kept", "reason")

application = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="See what could not be used, and try it again.",
)

Stage = Annotated[Literal["producer", "stream", "sink"] | None, typer.Option(help="Only what this stage refused.")]
Reason = Annotated[str | None, typer.Option(metavar="TEXT", help="Only where the reason holds this.")]
Since = Annotated[str | None, typer.Option(metavar="TIME", help="Not before: 2h, yesterday, a date.")]
Until = Annotated[str | None, typer.Option(metavar="TIME", help="Before.")]


@application.command("list")
@with_settings
def list_(
    settings: Settings,
    *,
    stage: Stage = None,
    reason: Reason = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option(min=0, help="Most letters, the newest; 0: all.")] = 50,
    output: Annotated[Literal["table", "jsonl", "csv"], typer.Option("--format", help="How to print.")] = "table",
) -> None:
    """List dead letters, oldest first: each once, without those that were retried.

    A dead letter is a record (or a line of a log) that a stage could not use. Its neighbours went on.

    [bold]Examples[/]

    [cyan]journal-postfix dead-letters list[/]
    [cyan]journal-postfix dead-letters list --stage sink --since 2h[/]
    """
    wanted = _wanted([], stage, reason, since, until)
    with attach(settings, broker=True, database=False) as complete:
        found = letters(complete, wanted)
    shown = found[-limit:] if limit else found
    if output == "table":
        console = Console(highlight=False)
        for line in letter_lines(shown, console.width) if shown else [Text("There are none.")]:
            console.print(line, soft_wrap=True)
        if len(shown) < len(found):
            typer.echo(f"and {len(found) - len(shown)} older ones: --limit 0", err=True)
    else:
        records = map(_record, shown)
        lines = map(json_line, records) if output == "jsonl" else for_terminal(csv_lines(FIELDS, records))
        for text in lines:
            sys.stdout.buffer.write(text.encode() + b"\n")


@application.command()
@with_settings
def show(
    settings: Settings,
    *,
    number: Annotated[int, typer.Argument(metavar="ID", help="As list shows it.", min=0)],
    raw: Annotated[bool, typer.Option("--raw", help="Write the bytes that were kept, and nothing else.")] = False,
) -> None:
    """Show one dead letter, with what was refused.

    [bold]Examples[/]

    [cyan]journal-postfix dead-letters show 17[/]
    [cyan]journal-postfix dead-letters show 17 --raw > refused[/]
    """
    if raw and sys.stdout.isatty():
        raise ConfigurationError("--raw gives the bytes as they came, on which a terminal may act: send them to a file")
    with attach(settings, broker=True, database=False) as complete:
        found = letters(complete, Wanted(numbers=[number]))
    if not found:
        complain(f"there is no dead letter {number}, or it was retried: journal-postfix dead-letters list")
        raise typer.Exit(FAILED)
    if raw:
        sys.stdout.buffer.write(found[0].letter.value)
        return
    console = Console(highlight=False)
    for line in letter_in_full(found[0]):
        console.print(line, soft_wrap=True)


@application.command()
@with_settings
def retry(
    settings: Settings,
    *,
    numbers: Annotated[list[int] | None, typer.Argument(metavar="[ID]...", help="As list shows them.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All, or all that the other options leave.")] = False,
    stage: Stage = None,
    reason: Reason = None,
    since: Since = None,
    until: Until = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would become of them; change nothing.")] = False,
) -> None:
    """Try dead letters again, after what was wrong has been put right.

    What the stream stage refused goes back to its topic, what the sink refused into the database. Rows merge:
    nothing comes twice, nothing newer is lost, and to retry again does no harm. A letter that went well is no longer
    listed. Exit code 1 if one did not.

    [bold]Examples[/]

    [cyan]journal-postfix dead-letters retry 17 18[/]
    [cyan]journal-postfix dead-letters retry --all --stage sink --dry-run[/]
    """
    if bool(numbers) == everything:
        raise ConfigurationError("name the dead letters by their ids, or give --all")
    wanted = _wanted(numbers or [], stage, reason, since, until)
    with attach(settings, broker=True, database=False) as complete:
        found = letters(complete, wanted)
    missing = sorted({*wanted.numbers} - {letter.number for letter in found})
    with attach(settings, broker=True, database=needs_database(found)) as complete:
        failed = _retried(complete, found, dry_run=dry_run)
    for number in missing:
        complain(f"there is no dead letter {number}, or it was retried, or the options leave it out")
    if failed or missing:
        raise typer.Exit(FAILED)


def _retried(settings: Settings, found: list[Letter], *, dry_run: bool) -> int:
    """Retry, print what became of each, and return how many did not go."""
    console, done, failed = Console(highlight=False), 0, 0
    for outcome in retry_letters(settings, found, dry_run=dry_run):
        mark = Text("✓ ", "green") if outcome.done else Text("✗ ", "red")
        text = plain(f"{outcome.letter.number}  {outcome.letter.where}: {outcome.what}")
        console.print(mark + Text(text), soft_wrap=True)
        done += outcome.done
        failed += not outcome.done
    said = "would be retried" if dry_run else "retried"
    console.print(f"{said} {done}, still refused {failed}" if found else "There are none.")
    return failed


def _wanted(numbers: list[int], stage: str | None, reason: str | None, since: str | None, until: str | None) -> Wanted:
    now = datetime.now(UTC)
    return Wanted(
        numbers=numbers,
        stage=stage,
        reason=reason,
        since=None if since is None else parse_time(since, now=now),
        until=None if until is None else parse_time(until, now=now),
    )


def _record(letter: Letter) -> Record:
    found = letter.letter
    return {
        "id": letter.number,
        "written": found.at,
        "times": letter.times,
        "stage": found.stage,
        "topic": found.topic,
        "partition": found.partition,
        "offset": found.offset,
        "source": found.source,
        "length": found.length,
        "kept": len(found.value),
        "reason": found.reason,
    }
