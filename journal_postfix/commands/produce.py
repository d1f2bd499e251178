"""``produce logfile|journal|stdin``: raw lines in, one process per source."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from journal_postfix import logs
from journal_postfix.interrupts import Interruption, interruptible
from journal_postfix.metrics import exposed
from journal_postfix.readiness import WatchedStop, readiness
from journal_postfix.rendering.reading import ReadingBar
from journal_postfix.settings_flags import with_settings
from journal_postfix.supervision.reports import Read, Reading, to_line
from producers import journal as journal_source
from producers import logfile as logfile_source
from producers import stdin as stdin_source
from producers.clock import YEARS
from schemas.figures import Figure
from schemas.settings import Settings

application = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Send raw log lines to Kafka: one process on each mail host.",
)

Follow = Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is appended, across rotations.")]
Year = Annotated[
    int | None,
    typer.Option(
        min=YEARS.start, max=YEARS.stop - 1, help="Year of the first timestamp that has none (default: a guess)."
    ),
]
Timezone = Annotated[str | None, typer.Option(help="Of timestamps that have none, e.g. Europe/Berlin.")]
Report = Annotated[bool, typer.Option("--report", hidden=True)]


@application.command()
@with_settings
def logfile(
    settings: Settings,
    *,
    files: Annotated[list[Path], typer.Argument(help="Log files, oldest first; .gz, .xz, .bz2 and .zst too.")],
    follow: Follow = False,
    year: Year = None,
    timezone: Timezone = None,  # noqa: ARG001 - becomes producer.timezone
    report: Report = False,
) -> None:
    """Read log files, go on where the last run stopped.

    [bold]Examples[/]

    [cyan]journal-postfix produce logfile --follow /var/log/mail.log[/]
    [cyan]journal-postfix produce logfile /var/log/mail.log.2.gz /var/log/mail.log.1[/]
    """
    _produce(
        settings,
        report,
        follow,
        lambda stop, progress: logfile_source.run(
            settings, files, follow=follow, year=year, stop=stop, on_progress=progress
        ),
    )


@application.command()
@with_settings
def journal(
    settings: Settings,
    *,
    since: Annotated[str | None, typer.Option(help="Begin there if it was never read: 2h, yesterday, a date.")] = None,
    cursor: Annotated[str | None, typer.Option(help="Begin after this journal cursor.")] = None,
    directory: Annotated[Path | None, typer.Option(help="Folder of journal files instead of this host's.")] = None,
    follow: Follow = False,
    report: Report = False,
) -> None:
    """Read the systemd journal, go on where the last run stopped.

    [bold]Examples[/]

    [cyan]journal-postfix produce journal --follow[/]
    [cyan]journal-postfix produce journal --since yesterday[/]
    """
    _produce(
        settings,
        report,
        follow,
        lambda stop, progress: journal_source.run(
            settings, since=since, cursor=cursor, directory=directory, follow=follow, stop=stop, on_progress=progress
        ),
    )


@application.command()
@with_settings
def stdin(
    settings: Settings,
    *,
    timezone: Timezone = None,  # noqa: ARG001 - becomes producer.timezone
    report: Report = False,
) -> None:
    """Read log lines from a pipe, to its end.

    [bold]Example[/]

    [cyan]zcat mail.log.*.gz | journal-postfix produce stdin[/]
    """
    _produce(
        settings,
        report,
        False,  # noqa: FBT003
        lambda stop, progress: stdin_source.run(settings, sys.stdin.buffer, stop=stop, on_progress=progress),
    )


def _produce(
    settings: Settings,
    report: bool,  # noqa: FBT001
    follow: bool,  # noqa: FBT001
    run: Callable[[Any, Callable[[Any], None]], Any],
) -> None:
    logs.bind(stage="producer")
    console = Console(stderr=True)
    with (
        readiness() as told,
        exposed(settings.metrics, "producer", told) as watch,
        interruptible() as interruption,
        ReadingBar(console, shown=not report and console.is_terminal) as bar,
    ):
        interruption.on_first = told.stopping

        def on_progress(progress: Any) -> None:
            told.ready()  # there is none before Kafka was reached
            watch(lambda: (Figure("producer_lines_read_total", progress.lines), *progress.figures()))
            reading = Reading(progress.lines, progress.bytes_done, progress.bytes_total)
            if report:
                _print(to_line(reading))
            else:
                bar.show("reading", reading)

        summary = run(WatchedStop(interruption.stop, told.alive), on_progress)
    read = Read(
        lines=summary.lines, sent=summary.sent, ignored=summary.ignored, dead=summary.dead,
        skipped=summary.skipped, seconds=summary.seconds,
    )  # fmt: skip
    if report:
        _print(to_line(read))
    else:
        _print(
            f"lines {read.lines}, sent {read.sent}, of other programs {read.ignored}, too large {read.dead}, "
            f"read before {read.skipped}; {read.seconds:.1f} s"
        )
    _end(interruption, follow)


def _end(interruption: Interruption, follow: bool) -> None:  # noqa: FBT001
    if interruption.stop.is_set() and not follow:
        raise typer.Exit(interruption.exit_code())


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
