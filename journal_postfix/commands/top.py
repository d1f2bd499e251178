"""``top``: throughput, lag, hosts, and what is being deferred, as it changes."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Annotated, Final, Literal

import msgspec
import typer
from rich.console import Console

from journal_postfix.failures import FAILED
from journal_postfix.local import attach
from journal_postfix.top.drawing import plain_lines
from journal_postfix.top.picture import Looks
from journal_postfix.top.sides import DatabaseSide, KafkaSide, Side
from schemas.errors import JournalPostfixError
from schemas.settings import Settings
from web.searches.records import json_line

_BETWEEN_TWO_LOOKS: Final = 2.0
"""Seconds that the rates of a single picture are measured over, at most."""


def top(
    settings: Settings,
    *,
    interval: Annotated[float, typer.Option(min=0.2, max=3600, metavar="SECONDS", help="How often to look.")] = 2.0,
    hours: Annotated[
        float, typer.Option(min=0.1, max=24 * 60, help="Deferred mail of the last so many hours, by its arrival.")
    ] = 24.0,
    once: Annotated[bool, typer.Option("--once", "--plain", help="Print one picture and end; so does a pipe.")] = False,
    output: Annotated[
        Literal["table", "json"], typer.Option("--format", help="How to print; json prints one picture and ends.")
    ] = "table",
) -> None:
    """Watch the pipeline: lines, messages and rows a second, lag, hosts, and what is deferred and why.

    Shows all hosts and workers, from what the topics and tables tell of them; no stage has to serve metrics for it.
    Where only Kafka or only PostgreSQL can be reached, it shows what that one knows. Keys: q quits, p pauses, + and -
    change the interval, d orders what is deferred by domain and r by reason.

    Lag is in records that wait: batches of lines for the stream, rows for the sink. Of deferred deliveries the newest
    2,000 are grouped.

    [bold]Examples[/]

    [cyan]journal-postfix top[/]
    [cyan]journal-postfix top --interval 10 --hours 2[/]
    [cyan]journal-postfix top --once --format json | jq .lags[/]
    """
    with _sides(settings, hours) as (sides, where):
        if once or output == "json" or not sys.stdout.isatty() or os.environ.get("TERM", "dumb") == "dumb":
            raise typer.Exit(_print(sides, min(interval, _BETWEEN_TWO_LOOKS), output))
        from journal_postfix.top.live import Top  # noqa: PLC0415 - only this needs textual, which is large

        Top(sides, where, interval, hours).run()


@contextmanager
def _sides(settings: Settings, hours: float) -> Iterator[tuple[list[Side], str]]:
    """Give what is to be looked at: both, or the only one that is configured where the other is not ours, either."""
    kafka, database = settings.kafka.bootstrap_servers is not None, settings.database.host is not None
    neither = not kafka and not database
    with ExitStack() as stack:
        complete = stack.enter_context(attach(settings, broker=neither, database=neither)) if neither else settings
        sides: list[Side] = []
        where = []
        if kafka or neither:
            sides.append(stack.enter_context(KafkaSide(complete)))
            where.append(f"{complete.kafka.bootstrap_servers}")
        if database or neither:
            sides.append(stack.enter_context(DatabaseSide(complete, hours)))
            where.append(f"{complete.database.dbname} at {complete.database.host}")
        yield sides, ", ".join(where)


def _print(sides: list[Side], seconds: float, output: str) -> int:
    looks = Looks({side.name for side in sides})
    reached = False
    for first in (True, False):
        for side in sides:
            try:
                looks.take(side.look())
                reached = True
            except JournalPostfixError as error:
                looks.lose(side.name, str(error))
        if first and reached:
            time.sleep(seconds)
    picture = looks.picture(datetime.now(UTC))
    if output == "json":
        sys.stdout.buffer.write(json_line(msgspec.to_builtins(picture)).encode() + b"\n")
    else:
        console = Console(highlight=False)
        for line in plain_lines(picture, console.width, "deliveries"):
            console.print(line, soft_wrap=True)
    return 0 if reached else FAILED
