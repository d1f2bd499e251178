"""``up``, ``demo``, ``stream``, ``sink``: the stages, all together or one by one."""

from pathlib import Path
from typing import Annotated

import typer

from journal_postfix import demonstration, everything, logs, once_through
from journal_postfix.broker import require_kafka
from journal_postfix.commands.produce import Timezone, Year
from journal_postfix.inputs import Inputs, default_inputs
from journal_postfix.interrupts import interruptible
from journal_postfix.metrics import exposed
from journal_postfix.readiness import WatchedStop, readiness
from journal_postfix.supervision.workers import run_workers
from schemas.errors import ConfigurationError
from schemas.settings import Settings


def up(
    settings: Settings,
    *,
    more: Annotated[list[Path] | None, typer.Argument(hidden=True, metavar="FILE")] = None,
    logfile: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="A log file; several: oldest first.")
    ] = None,
    journal: Annotated[bool, typer.Option("--journal", help="This host's systemd journal.")] = False,
    stdin: Annotated[bool, typer.Option("--stdin", help="Log lines from a pipe.")] = False,
    once: Annotated[
        bool, typer.Option("--once", help="Return when the input's last line is in PostgreSQL, and say what was done.")
    ] = False,
    year: Year = None,
    timezone: Timezone = None,  # noqa: ARG001 - becomes producer.timezone
) -> None:
    """Run all stages; start Kafka and PostgreSQL too where none is configured.

    Without an input, follows /var/log/mail.log or, where there is none, the systemd journal. What was read
    before is not read again. Ctrl-C stops everything.

    [bold]Examples[/]

    [cyan]journal-postfix up[/]
    [cyan]journal-postfix up --logfile /var/log/mail.log --data-dir /srv/mail-fate[/]
    [cyan]journal-postfix up --once --logfile mail.log.1 --logfile mail.log[/]
    [cyan]journal-postfix up --config /etc/journal-postfix.yaml --journal[/]
    """
    # A shell turns `--logfile mail.log*` into one option and some arguments.
    files = (*(logfile or ()), *(more or ()))
    inputs = Inputs(files=files, journal=journal, stdin=stdin, year=year)
    if not inputs.given():
        inputs = default_inputs()
    inputs.check(follow=not once)
    raise typer.Exit(once_through.run(settings, inputs) if once else everything.run(settings, inputs))


def demo(settings: Settings) -> None:
    """Read a packaged sample log, then show its deliveries, rejections and one mail's way.

    Everything goes into the folder [cyan]demo[/] of the data folder, with Kafka and PostgreSQL of its own.
    """
    raise typer.Exit(demonstration.run(settings))


Workers = Annotated[
    int, typer.Option(min=1, max=256, metavar="N", help="Processes on this host; a core each is what they can use.")
]


def stream(settings: Settings, *, workers: Workers = 1) -> None:
    """Turn raw lines into messages and deliveries (the Faust worker), until SIGTERM.

    Run as many workers as you like, on as many hosts, up to the number of partitions: Kafka divides the work among
    them. One that dies is started again.

    [bold]Examples[/]

    [cyan]journal-postfix stream --bootstrap-servers kafka:9092[/]
    [cyan]journal-postfix stream --workers 4[/]
    """
    require_kafka(settings)
    logs.bind(stage="stream")
    if workers > 1:
        raise typer.Exit(_several(settings, "stream", workers))
    from streams import worker  # noqa: PLC0415 - Faust is slow to import, and patches what it finds

    with readiness() as told, exposed(settings.metrics, "stream", told) as watch:
        raise typer.Exit(worker.run(settings, told.ready, watch))


def sink(settings: Settings, *, workers: Workers = 1) -> None:
    """Write messages and deliveries to PostgreSQL, until SIGTERM.

    Kafka divides the partitions among all sinks, on one host or several. One that dies is started again.

    [bold]Examples[/]

    [cyan]journal-postfix sink --bootstrap-servers kafka:9092 --database-host db.example.org[/]
    [cyan]journal-postfix sink --workers 2[/]
    """
    require_kafka(settings)
    if settings.database.host is None:
        raise ConfigurationError(
            "no PostgreSQL is configured: set database.host (--database-host HOST, or the folder of its socket), "
            "or let `journal-postfix up` start an embedded one"
        )
    logs.bind(stage="sink")
    if workers > 1:
        raise typer.Exit(_several(settings, "sink", workers))
    from sinks import worker  # noqa: PLC0415 - only this command writes to the database

    with (
        readiness() as told,
        exposed(settings.metrics, "sink", told) as watch,
        interruptible() as interruption,
    ):
        interruption.on_first = told.stopping
        # Its first look is after it has reached both Kafka and PostgreSQL.
        worker.run(settings, WatchedStop(interruption.stop, told.ready), watch)


def _several(settings: Settings, stage: str, workers: int) -> int:
    with readiness() as told, interruptible() as interruption:
        interruption.on_first = told.stopping
        return run_workers(settings, stage, workers, interruption, told.ready)
