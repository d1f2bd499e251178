"""``purge``, ``erase``: how long mail data stays, and what a person may ask for."""

import json
from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.text import Text

from journal_postfix.local import attach
from schemas.errors import ConfigurationError
from schemas.moments import parse_time
from schemas.settings import Settings
from sinks import purging
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

    Topics forget by themselves: kafka.raw_retention_days, kafka.output_retention_days.

    [bold]Examples[/]

    [cyan]journal-postfix purge --dry-run[/]
    [cyan]journal-postfix purge --older-than 180d[/]
    """
    age = _age(older_than) if older_than is not None else None
    before = purging.cutoffs(settings.retention, age, datetime.now(UTC))
    console = Console(stderr=True, highlight=False)
    with attach(settings, broker=False, database=True) as complete:
        found = purging.purge(complete, before, lambda line: console.print(Text(line), soft_wrap=True), dry_run=dry_run)
    if as_json:
        typer.echo(json.dumps({"dry_run": dry_run, "tables": msgspec.to_builtins(found)}, indent=2))
        return
    if not found:
        typer.echo("everything stays: retention.*_days are 0")
        return
    _show(found, Console(highlight=False))


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
