"""``check``, ``topics``, ``migrate``: what an operator does before and between."""

from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from journal_postfix import checking
from journal_postfix import topics as broker_topics
from journal_postfix.failures import FAILED
from journal_postfix.local import attach
from journal_postfix.rendering.characters import plain
from schemas.settings import Settings
from sinks import migrating


def check(settings: Settings) -> None:
    """Check the settings against the real Kafka and PostgreSQL; say what to do.

    Looks only, changes nothing. Exit code 1 if anything is wrong.

    [bold]Example[/]

    [cyan]journal-postfix check --config /etc/journal-postfix.yaml[/]
    """
    console = Console(highlight=False)
    bad = 0
    with attach(settings, broker=True, database=True) as complete:
        for finding in checking.findings(complete):
            bad += not finding.good
            mark = Text("✓ ", "green") if finding.good else Text("✗ ", "red")
            console.print(mark + Text(plain(finding.text)), soft_wrap=True)
            if finding.advice:
                console.print(Text(f"  → {finding.advice}", "bold"), soft_wrap=True)
    if bad:
        raise typer.Exit(FAILED)


def topics(
    settings: Settings,
    *,
    more_partitions: Annotated[
        bool, typer.Option("--more-partitions", help="Raise partition counts too. Can't be undone.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask before that.")] = False,
) -> None:
    """Create the topics that are missing, correct those that differ.

    Partition counts are only raised with --more-partitions. Lines of a message whose log spans the change then
    go to two partitions and are merged in the database instead: nothing is lost. Stop the stages, raise, start
    them again.

    [bold]Example[/]

    [cyan]journal-postfix topics --bootstrap-servers kafka:9092[/]
    """
    with attach(settings, broker=True, database=False) as complete:
        if more_partitions and not yes:
            growing = [c for c in broker_topics.look(complete, grow=True) if c.action == "grow"]
            if growing:
                typer.echo(broker_topics.MORE_PARTITIONS, err=True)
                for change in growing:
                    typer.echo(f"  {change.topic.name}: {change.partitions} → {change.topic.partitions}", err=True)
                typer.confirm("Raise them?", abort=True, err=True)
        changes = broker_topics.make(complete, grow=more_partitions)
    show_topics(changes, Console(highlight=False))
    if any(change.action == "too few" for change in changes):
        typer.echo("Fewer partitions than the settings say: set kafka.partitions, or see --more-partitions.", err=True)


def show_topics(changes: list[broker_topics.Change], console: Console) -> None:
    """Print what was done, a line for each topic."""
    said = {
        "create": "created", "configure": "corrected", "grow": "more partitions", "too few": "too few partitions",
        "more": "more than set", "keep": "as it should be",
    }  # fmt: skip
    width = max(len(change.topic.name) for change in changes)
    console.print(Text(f"{'TOPIC':<{width}}  PARTITIONS  STATE", "bold"))
    for change in changes:
        count = change.topic.partitions if change.action in {"create", "grow"} else change.partitions
        state = said[change.action] + (f": {', '.join(change.config)}" if change.config else "")
        console.print(Text(f"{change.topic.name:<{width}}  {count:>10}  {state}"), soft_wrap=True)


def migrate(settings: Settings) -> None:
    """Create or update the tables in PostgreSQL.

    [bold]Example[/]

    [cyan]journal-postfix migrate --database-host db.example.org[/]
    """
    with attach(settings, broker=False, database=True) as complete:
        done = migrating.migrate(complete)
    typer.echo(f"applied: {', '.join(done)}" if done else "the tables are up to date")
