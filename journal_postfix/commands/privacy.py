"""``purge``, ``erase``: how long mail data stays, and what a person may ask for."""

import json
from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.text import Text

from journal_postfix import topics
from journal_postfix.commands.asking import as_logged
from journal_postfix.local import attach
from journal_postfix.rendering.characters import plain
from schemas.errors import ConfigurationError, JournalPostfixError
from schemas.moments import parse_time
from schemas.settings import Settings
from schemas.topics import topics_of
from sinks import erasing, pseudonymising, purging
from sinks.purging import Purged


def purge(
    settings: Settings,
    *,
    older_than: Annotated[
        str | None, typer.Option(metavar="AGE", help="Such as 90d or 12w, for all tables, instead of retention.*_days.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go; change nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Drop mail data that is older than it may be, while the sinks write.

    Whole days (UTC) go by the arrival of the mail: messages and their deliveries, rejections, and the encryption of
    connections, each after as many days as the settings say (retention.deliveries_days, …; 90 unless set). As the
    owner of the tables. `up` does this once a day by itself; elsewhere use the systemd timer or a cron job.

    With retention.pseudonymise_days, rows that stay but are older than that get pseudonyms instead of people's names:
    addresses keep their domain, clients their network. From then on a search by a full address does not find them.

    Topics forget by themselves: kafka.raw_retention_days, kafka.output_retention_days.

    [bold]Examples[/]

    [cyan]journal-postfix purge --dry-run[/]
    [cyan]journal-postfix purge --older-than 180d[/]
    """
    age = _age(older_than) if older_than is not None else None
    before = purging.cutoffs(settings.retention, age, datetime.now(UTC))
    console = Console(stderr=True, highlight=False)
    with attach(settings, broker=False, database=True) as complete:

        def tell(line: str) -> None:
            console.print(Text(line), soft_wrap=True)

        found = purging.purge(complete, before, tell, dry_run=dry_run)
        nameless = pseudonymising.border(settings.retention, datetime.now(UTC))
        renamed = pseudonymising.pseudonymise(complete, nameless, tell, dry_run=dry_run)
    if as_json:
        document = {"tables": msgspec.to_builtins(found), "pseudonymised": msgspec.to_builtins(renamed)}
        typer.echo(json.dumps({"dry_run": dry_run, **document}, indent=2))
        return
    if found:
        _show(found, Console(highlight=False))
    else:
        typer.echo("everything stays: retention.*_days are 0")
    for table in renamed:
        what = "would be" if dry_run else "were"
        typer.echo(f"{table.table:<14} {table.rows:>10,} rows before {table.before} {what} pseudonymised")


def erase(
    settings: Settings,
    *,
    address: Annotated[
        str,
        typer.Option(metavar="ADDRESS", callback=as_logged, help="Whose data, or a login; in letters of any case."),
    ],
    pseudonymise: Annotated[
        bool, typer.Option("--pseudonymise", help="Put one made-up address in its place, the same everywhere.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say how many rows it is in; change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask before.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Take a person's address out of all mail that has arrived, while the sinks write. Can't be undone.

    As sender, recipient, alias or login, and wherever a reply, a VERP sender or a header quotes it. Rows stay, so that
    other people's mail and the statistics do; each names a made-up address instead (…@erased.invalid), another one for
    each message, and tells no more what was said about it. With --pseudonymise it is the same one everywhere.

    The sinks leave the address out, too, of what Kafka's topics still bring of that time, also by a replay. What the
    topics themselves hold goes with their retention: until when is said at the end. As the owner of the tables.

    [bold]Examples[/]

    [cyan]journal-postfix erase --address anna@example.org --dry-run[/]
    [cyan]journal-postfix erase --address anna@example.org --yes[/]
    """
    if not dry_run and not yes:
        typer.confirm("Take it out of all mail? This can't be undone.", abort=True, err=True)
    console = Console(stderr=True, highlight=False)
    # The owner's settings may name no Kafka. One of `up` is asked while its database is there.
    with attach(settings, broker=settings.database.host is None, database=True) as complete:
        counts = erasing.erase(
            complete,
            address,
            "pseudonymise" if pseudonymise else "remove",
            lambda line: console.print(Text(plain(line)), soft_wrap=True),
            dry_run=dry_run,
        )
        remains, unknown = _remains(complete)
    if as_json:
        document = {"dry_run": dry_run, "tables": msgspec.to_builtins(counts), "topics": remains, "unknown": unknown}
        typer.echo(json.dumps(document, indent=2))
        return
    for count in counts:
        typer.echo(f"{count.table:<14} {count.rows:>10,} rows {'would change' if dry_run else 'changed'}")
    typer.echo("What Kafka's topics hold of it goes by itself:")
    for topic, until in remains.items():
        typer.echo(f"  {topic:<40} {f'until {until}' if until else _endless(settings, topic)}")
    if unknown:
        typer.echo(f"  unknown: {unknown}")


def _remains(settings: Settings) -> tuple[dict[str, str | None], str | None]:
    """Return until when topics hold what is in them now (None: without a date), or why that is unknown."""
    now = datetime.now(UTC)
    try:
        with attach(settings, broker=True, database=False) as complete:
            kept = topics.kept_for(complete)
    except JournalPostfixError as error:
        return {}, str(error)
    return {name: f"{now + age:%Y-%m-%d}" if age is not None else None for name, age in kept.items()}, None


def _endless(settings: Settings, topic: str) -> str:
    if topic == topics_of(settings.kafka, settings.stream).progress.name:
        return "samples of lines that no parser knows: until it is made anew"
    return "as long as the mail is queued"


def _age(text: str) -> timedelta:
    now = datetime.now(UTC)
    age = now - parse_time(text, now=now)
    if age < timedelta(days=1):
        raise ConfigurationError(f"--older-than: {text!r} is no age of a day or more, such as 90d")
    return age


def _show(found: list[Purged], console: Console) -> None:
    console.print(Text(f"{'TABLE':<14} {'BEFORE':<10} {'DAYS':>5} {'ROWS':>14} {'MB':>10}", "bold"))
    for gone in found:
        console.print(
            Text(f"{gone.table:<14} {gone.before:<10} {len(gone.days):>5} {gone.rows:>14,} {gone.bytes / 1e6:>10,.1f}"),
            soft_wrap=True,
        )
