"""``check``, ``topics``, ``acls``, ``roles``, ``migrate``: what an operator does before and between."""

import json
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.text import Text

from journal_postfix import access, checking
from journal_postfix import topics as broker_topics
from journal_postfix.access import Work
from journal_postfix.broker import require_kafka
from journal_postfix.checking import Finding, Stage
from journal_postfix.failures import FAILED
from journal_postfix.local import attach
from journal_postfix.rendering.characters import plain
from schemas.errors import ConfigurationError
from schemas.settings import Settings
from sinks import migrating
from sinks import roles as database_roles


def check(
    settings: Settings,
    *,
    stage: Annotated[
        Stage | None, typer.Option(help="Only what this stage needs, with its rights; read: who looks at the mail.")
    ] = None,
    logfile: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="A log file that a producer is to read.")
    ] = None,
    journal: Annotated[bool, typer.Option("--journal", help="A producer is to read the systemd journal.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Check the settings against the real Kafka, PostgreSQL and log; say what to do.

    Versions, topics and their partitions, tables, clocks; with --stage, also the rights of its Kafka user and
    database role. Looks only, changes nothing. Exit code 1 if anything is wrong.

    JSON: [cyan]ok[/], and [cyan]findings[/], each with [cyan]part[/], [cyan]good[/], [cyan]text[/] and
    [cyan]advice[/].

    [bold]Examples[/]

    [cyan]journal-postfix check --config /etc/journal-postfix.yaml[/]
    [cyan]journal-postfix check --stage produce --logfile /var/log/mail.log[/]
    [cyan]journal-postfix check --json | jq '.findings[] | select(.good | not)'[/]
    """
    console = Console(highlight=False)
    found = []
    if stage is not None and checking.needs_kafka(stage):
        require_kafka(settings)
    with attach(settings, broker=checking.needs_kafka(stage), database=checking.needs_database(stage)) as complete:
        for finding in checking.findings(complete, stage, logfiles=logfile or (), journal=journal):
            found.append(finding)
            if not as_json:
                _show_finding(finding, console)
    ok = all(finding.good for finding in found)
    if as_json:
        typer.echo(json.dumps({"ok": ok, "findings": msgspec.to_builtins(found)}, indent=2))
    if not ok:
        raise typer.Exit(FAILED)


def _show_finding(finding: Finding, console: Console) -> None:
    mark = Text("✓ ", "green") if finding.good else Text("✗ ", "red")
    console.print(mark + Text(plain(finding.text)), soft_wrap=True)
    if finding.advice:
        console.print(Text(f"  → {plain(finding.advice)}", "bold"), soft_wrap=True)


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


def acls(
    settings: Settings,
    *,
    work: Annotated[
        Work, typer.Argument(help="What the user does: a stage; making the topics; stats, top and dead-letters.")
    ],
    principal: Annotated[str, typer.Option(help="Who is allowed, as Kafka names it.")],
) -> None:
    """Print what a Kafka user has to be allowed, as commands of Kafka's own tool. Changes nothing.

    [bold]Example[/]

    [cyan]journal-postfix acls stream --principal User:jp-stream[/]
    """
    typer.echo("\n".join(access.commands(settings, work, principal)))


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


def migrate(
    settings: Settings,
    *,
    grant_to_sink: Annotated[list[str] | None, typer.Option(metavar="ROLE", help="Let it write rows.")] = None,
    grant_to_reader: Annotated[list[str] | None, typer.Option(metavar="ROLE", help="Let it read.")] = None,
) -> None:
    """Create or update the tables in PostgreSQL, as the role that owns them.

    The roles named here, and those named before, get the rights that their work needs and no others.

    [bold]Examples[/]

    [cyan]journal-postfix migrate --database-host db.example.org[/]
    [cyan]journal-postfix migrate --grant-to-sink mail_sink --grant-to-reader helpdesk[/]
    """
    sinks, readers = grant_to_sink or [], grant_to_reader or []
    with attach(settings, broker=False, database=True) as complete:
        done = migrating.migrate(complete)
        if sinks or readers:
            database_roles.grant(complete, sinks=sinks, readers=readers)
    typer.echo(f"applied: {', '.join(done)}" if done else "the tables are up to date")
    for work, names in (("write rows", sinks), ("read", readers)):
        if names:
            typer.echo(f"may {work}: {', '.join(names)}")


def roles(
    settings: Settings,
    *,
    migrator: Annotated[str, typer.Option(metavar="ROLE", help="Owns the tables.")] = "journal_postfix_migrator",
    sink: Annotated[list[str] | None, typer.Option(metavar="ROLE", help="Is to write rows.")] = None,
    reader: Annotated[list[str] | None, typer.Option(metavar="ROLE", help="Is to read.")] = None,
    passwords: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder with a file for each password, named as the role.")
    ] = None,
) -> None:
    """Make the database roles of the stages, as an administrator; then run migrate as the first of them.

    Only what is missing is made. Without --sink and --reader: journal_postfix_sink and journal_postfix_reader. A role
    without a password can log in by what pg_hba.conf says instead, such as its certificate or the user of its process.

    [bold]Example[/]

    [cyan]journal-postfix roles --database-host /var/run/postgresql --database-user postgres --passwords secrets/[/]
    """
    others = [*(sink or ["journal_postfix_sink"]), *(reader or ["journal_postfix_reader"])]
    secrets = _passwords(passwords, [migrator, *others]) if passwords is not None else {}
    with attach(settings, broker=False, database=True) as complete:
        made = database_roles.create(complete, migrator=migrator, others=others, passwords=secrets)
    typer.echo(f"made: {', '.join(made)}" if made else "the roles are there")


def _passwords(folder: Path, names: list[str]) -> dict[str, str]:
    """Return the passwords of *names*, of those that have a file. Raises ConfigurationError."""
    if not folder.is_dir():
        raise ConfigurationError(f"--passwords: {folder} is no folder")
    found = {}
    for name in names:
        file = folder / name
        try:
            found[name] = file.read_text(encoding="utf-8").rstrip("\r\n")
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"cannot read the password of {name} from {file}: {error}") from error
        if not found[name]:
            raise ConfigurationError(f"the password of {name} in {file} is empty")
    return found
