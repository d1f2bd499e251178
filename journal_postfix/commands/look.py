"""``deliveries``, ``rejects``, ``trace``: what became of the mail."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Literal

import typer
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class
from rich.console import Console
from rich.text import Text

from journal_postfix.failures import FAILED, complain
from journal_postfix.local import attach
from journal_postfix.rendering.characters import for_terminal
from journal_postfix.rendering.journey import hop_lines, json_text
from journal_postfix.rendering.mail_tables import delivery_lines, reject_lines
from schemas.moments import parse_time
from schemas.settings import Settings
from web.searches import deliveries as delivery_search
from web.searches import rejects as reject_search
from web.searches.database import searching
from web.searches.records import Record, csv_lines, json_line
from web.searches.trace import trace as trace_word

_WHAT = "What to look for"
Sender = Annotated[
    str | None, typer.Option(metavar="ADDRESS", rich_help_panel=_WHAT, help="Envelope sender; <> for none.")
]
Recipient = Annotated[
    str | None, typer.Option(metavar="ADDRESS", rich_help_panel=_WHAT, help="Recipient, also before aliases.")
]
QueueId = Annotated[str | None, typer.Option(metavar="ID", rich_help_panel=_WHAT, help="Queue id.")]
MessageId = Annotated[str | None, typer.Option(metavar="ID", rich_help_panel=_WHAT, help="Message-ID header.")]
Client = Annotated[str | None, typer.Option(metavar="HOST", rich_help_panel=_WHAT, help="Client's name or IP address.")]
Since = Annotated[
    str | None, typer.Option(metavar="TIME", rich_help_panel=_WHAT, help="Not before: 2h, yesterday, a date.")
]
Until = Annotated[str | None, typer.Option(metavar="TIME", rich_help_panel=_WHAT, help="Before.")]
Limit = Annotated[int, typer.Option(min=0, help="Most rows, the newest; 0: all.")]
Format = Annotated[Literal["table", "jsonl", "csv"], typer.Option("--format", help="How to print.")]


def deliveries(
    settings: Settings,
    *,
    sender: Sender = None,
    recipient: Recipient = None,
    queue_id: QueueId = None,
    message_id: MessageId = None,
    client: Client = None,
    status: Annotated[
        list[str] | None,
        typer.Option(metavar="STATUS", rich_help_panel=_WHAT, help="sent, deferred, bounced, …; several: any."),
    ] = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 50,
    output: Format = "table",
) -> None:
    """Show what became of mail: one row per message and recipient, newest first.

    Without --since, --queue-id or --message-id: the last 24 hours that the log has. An address is whole, a
    domain (@example.org) or a pattern (*@*.example.org); upper and lower case are the same in patterns and domains, and
    whole addresses are looked for as typed and in lower case.
    Status: sent, deferred, bounced, expired, deleted, held, discarded, rejected, cancelled, queued.
    Times without an offset are this machine's; JSON and CSV have UTC. CSV holds values as they are: have a
    spreadsheet import them as text.

    [bold]Examples[/]

    [cyan]journal-postfix deliveries --recipient ann@example.org[/]
    [cyan]journal-postfix deliveries --status bounced --status expired --since 3d[/]
    [cyan]journal-postfix deliveries --sender @example.org --format csv --limit 0[/]
    """
    now = datetime.now(UTC)
    asked = delivery_search.DeliverySearch(
        sender=sender, recipient=recipient, queue_id=queue_id, message_id=message_id, client=client,
        status=tuple(status or ()), since=_time(since, now), until=_time(until, now), limit=limit,
    )  # fmt: skip
    with _connected(settings) as connection:
        records = delivery_search.search(connection, asked)
        shown = _print(records, output, delivery_search.FIELDS, lambda rows, width: delivery_lines(rows, width, now))
        if not shown and output == "table":
            _nothing("No delivery", delivery_search.newest(connection))


def rejects(
    settings: Settings,
    *,
    sender: Sender = None,
    recipient: Recipient = None,
    queue_id: QueueId = None,
    client: Client = None,
    status: Annotated[
        list[str] | None,
        typer.Option(metavar="ACTION", rich_help_panel=_WHAT, help="Action: reject, reject_warning, hold, …"),
    ] = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 50,
    output: Format = "table",
) -> None:
    """Show what was refused (or held, …) in the SMTP dialogue, newest first.

    That is mail without a queue id yet, and recipients refused of a message that had one (its other recipients
    may have gone through). Without --since: the last 24 hours that the log has. Addresses and times are as in
    [cyan]journal-postfix deliveries --help[/].

    [bold]Examples[/]

    [cyan]journal-postfix rejects --client 192.0.2.7[/]
    [cyan]journal-postfix rejects --recipient @example.org --since yesterday --format jsonl[/]
    """
    now = datetime.now(UTC)
    asked = reject_search.RejectSearch(
        sender=sender, recipient=recipient, queue_id=queue_id, client=client, action=tuple(status or ()),
        since=_time(since, now), until=_time(until, now), limit=limit,
    )  # fmt: skip
    with _connected(settings) as connection:
        records = reject_search.search(connection, asked)
        shown = _print(records, output, reject_search.FIELDS, lambda rows, width: reject_lines(rows, width, now))
        if not shown and output == "table":
            _nothing("No rejection", reject_search.newest(connection))


def trace(
    settings: Settings,
    *,
    word: Annotated[str, typer.Argument(help="Queue id, message-id or address.", metavar="WORD")],
    output: Annotated[Literal["table", "json"], typer.Option("--format", help="How to print.")] = "table",
) -> None:
    """Show a message's way: arrival, every attempt, holds, bounces, forwards.

    Follows it from queue id to queue id, also over hosts. If WORD stands for several messages: the newest five.
    Exit code 1 if it stands for none.

    [bold]Examples[/]

    [cyan]journal-postfix trace 4dJqFz0K3Vz1x[/]
    [cyan]journal-postfix trace ann@example.org[/]
    """
    with _connected(settings) as connection:
        hops = trace_word(connection, word)
    if not hops:
        complain(f"no message has the queue id, message-id, sender or recipient {word!r}")
        raise typer.Exit(FAILED)
    if output == "json":
        _write(json_text(hops).splitlines())
    else:
        console = _console()
        _draw(console, hop_lines(hops, console.width, datetime.now(UTC)))


@contextmanager
def _connected(settings: Settings) -> Iterator[Connection]:
    with attach(settings, broker=False, database=True) as complete, searching(complete.database) as connection:
        yield connection


def _time(text: str | None, now: datetime) -> datetime | None:
    return None if text is None else parse_time(text, now=now)


def _print(
    records: Iterator[Record],
    output: str,
    fields: Sequence[str],
    lines: Callable[[Iterable[Record], int], Iterator[Text]],
) -> bool:
    """Print the records; tell whether there was any."""
    first = next(records, None)
    if first is None:
        if output == "csv":
            _write(csv_lines(fields, ()))
        return False

    def all_of_them() -> Iterator[Record]:
        yield first
        yield from records

    if output == "jsonl":
        _write(map(json_line, all_of_them()))
    elif output == "csv":
        _write(for_terminal(csv_lines(fields, all_of_them())))
    else:
        console = _console()
        _draw(console, lines(all_of_them(), console.width))
    return True


def _nothing(what: str, newest: datetime | None) -> None:
    if newest is None:
        typer.echo("The database holds nothing yet: journal-postfix up --logfile FILE", err=True)
    else:
        moment = newest.astimezone().strftime("%Y-%m-%d %H:%M:%S")
        typer.echo(f"{what} fits. The newest is of {moment}; --since DATE looks further back.", err=True)


def _console() -> Console:
    return Console(highlight=False)


def _draw(console: Console, lines: Iterable[Text]) -> None:
    for line in lines:
        console.print(line, soft_wrap=True)
    sys.stdout.flush()


def _write(lines: Iterable[str]) -> None:
    """Write lines as UTF-8, whatever the terminal's language is."""
    buffer = sys.stdout.buffer
    for line in lines:
        buffer.write(line.encode() + b"\n")
    buffer.flush()
