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

from journal_postfix.commands.asking import (
    Action,
    Client,
    Limit,
    MessageId,
    QueueId,
    Recipient,
    Sender,
    Since,
    Status,
    Until,
    as_logged,
    one_of,
    span,
)
from journal_postfix.failures import FAILED, complain
from journal_postfix.local import attach
from journal_postfix.rendering.characters import for_terminal
from journal_postfix.rendering.journey import hop_lines, json_text
from journal_postfix.rendering.mail_tables import delivery_lines, reject_lines
from schemas.settings import Settings
from web.searches import deliveries as delivery_search
from web.searches import rejects as reject_search
from web.searches.addresses import asked as asked_address
from web.searches.database import searching
from web.searches.records import Record, csv_lines, json_line
from web.searches.status_conditions import STATUSES
from web.searches.trace import MOST_FOUND, MOST_HOPS
from web.searches.trace import trace as trace_word

Format = Annotated[Literal["table", "jsonl", "csv"], typer.Option("--format", help="How to print.")]


def deliveries(
    settings: Settings,
    *,
    sender: Sender = None,
    recipient: Recipient = None,
    queue_id: QueueId = None,
    message_id: MessageId = None,
    client: Client = None,
    status: Status = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 50,
    output: Format = "table",
) -> None:
    """Show what became of mail: one row per message and recipient, newest first.

    Without --since, --queue-id or --message-id: the last 24 hours that the log has. An address is whole, a
    domain (@example.org) or a pattern (*@*.example.org); upper and lower case are the same.
    Status: sent, deferred, bounced, expired, deleted, held, discarded, rejected, cancelled, queued; of probes,
    deliverable and undeliverable. Exit code 0 also where nothing fits.
    Times without an offset are this machine's; JSON and CSV have UTC. CSV holds values as they are: have a
    spreadsheet import them as text.

    [bold]Examples[/]

    [cyan]journal-postfix deliveries --recipient ann@example.org[/]
    [cyan]journal-postfix deliveries --status bounced --status expired --since 3d[/]
    [cyan]journal-postfix deliveries --sender @example.org --format csv --limit 0[/]
    """
    now = datetime.now(UTC)
    first, last = span(since, until)
    asked = delivery_search.DeliverySearch(
        sender=sender, recipient=recipient, queue_id=queue_id, message_id=message_id, client=client,
        status=one_of(status, STATUSES), since=first, until=last, limit=_one_more(limit),
    )  # fmt: skip
    with _connected(settings) as connection:
        found = _Limited(delivery_search.search(connection, asked), limit)
        shown = _print(found, output, delivery_search.FIELDS, lambda rows, width: delivery_lines(rows, width, now))
        if not shown and output == "table":
            others = reject_search.newest(connection)
            _nothing("No delivery", asked, delivery_search.newest(connection), others)


def rejects(
    settings: Settings,
    *,
    sender: Sender = None,
    recipient: Recipient = None,
    queue_id: QueueId = None,
    client: Client = None,
    status: Action = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 50,
    output: Format = "table",
) -> None:
    """Show what was refused (or held, …) in the SMTP dialogue, newest first.

    That is mail without a queue id yet, recipients refused of a message that had one (its other recipients may have
    gone through), and messages refused as a whole, of which the log may name no recipient. Without --since: the last
    24 hours that the log has. Addresses and times are as in [cyan]journal-postfix deliveries --help[/], but a whole
    address is looked for as typed and in lower case only. Actions: reject, milter-reject, proxy-reject, hangup,
    reject_warning, warn, hold, milter-hold, discard, milter-discard; of what had a queue id, reject, also where a
    milter did it. Exit code 0 also where nothing fits.

    [bold]Examples[/]

    [cyan]journal-postfix rejects --client 192.0.2.7[/]
    [cyan]journal-postfix rejects --recipient @example.org --since yesterday --format jsonl[/]
    """
    now = datetime.now(UTC)
    first, last = span(since, until)
    asked = reject_search.RejectSearch(
        sender=sender, recipient=recipient, queue_id=queue_id, client=client,
        action=one_of(status, reject_search.ACTIONS), since=first, until=last, limit=_one_more(limit),
    )  # fmt: skip
    with _connected(settings) as connection:
        found = _Limited(reject_search.search(connection, asked), limit)
        shown = _print(found, output, reject_search.FIELDS, lambda rows, width: reject_lines(rows, width, now))
        if not shown and output == "table":
            others = delivery_search.newest(connection)
            _nothing("No rejection", asked, reject_search.newest(connection), others)


def trace(
    settings: Settings,
    *,
    word: Annotated[str, typer.Argument(help="Queue id, message-id or address.", metavar="WORD", callback=as_logged)],
    output: Annotated[Literal["table", "json"], typer.Option("--format", help="How to print.")] = "table",
) -> None:
    """Show a message's way: arrival, every attempt, holds, bounces, forwards.

    Follows it from queue id to queue id, also over hosts. If WORD stands for several messages: the newest five. An
    address is a sender or a recipient, also before aliases; a name alone (root) is one too.
    Exit code 1 if it stands for none.

    [bold]Examples[/]

    [cyan]journal-postfix trace 4dJqFz0K3Vz1x[/]
    [cyan]journal-postfix trace ann@example.org[/]
    """
    with _connected(settings) as connection:
        way = trace_word(connection, word)
    if not way.hops:
        complain(
            f"no message has the queue id, message-id, sender or recipient {word}; what was refused before it was a "
            "message is in `journal-postfix rejects`"
        )
        raise typer.Exit(FAILED)
    if output == "json":
        _write([json_text(way.hops)])
    else:
        console = _console()
        _draw(console, hop_lines(way.hops, console.width, datetime.now(UTC)))
    if way.more_messages:
        _tell(f"These are the newest {MOST_FOUND} messages that it stands for; `deliveries` lists them all.")
    if way.more_hops:
        _tell(f"More than these {MOST_HOPS} messages hang together: trace one of them for its neighbours.")


@contextmanager
def _connected(settings: Settings) -> Iterator[Connection]:
    with attach(settings, broker=False, database=True) as complete, searching(complete.database) as connection:
        yield connection


class _Limited:
    """The first *limit* of *records* (0: all), and whether there are more, once they were looked at."""

    def __init__(self, records: Iterator[Record], limit: int) -> None:
        self._records, self._limit = records, limit
        self.more = False

    def __iter__(self) -> Iterator[Record]:
        for number, record in enumerate(self._records, 1):
            if self._limit and number > self._limit:
                self.more = True
                return
            yield record


def _one_more(limit: int) -> int:
    """Return the limit of a search that finds out whether there is more than *limit*."""
    return limit + 1 if limit else 0


def _print(
    found: _Limited,
    output: str,
    fields: Sequence[str],
    lines: Callable[[Iterable[Record], int], Iterator[Text]],
) -> bool:
    """Print the records, and on stderr that there are more; return whether there was any."""
    records = iter(found)
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
    if found.more:
        _tell("There are more; --limit shows more of them, --limit 0 all.")
    return True


def _nothing(
    what: str,
    asked: delivery_search.DeliverySearch | reject_search.RejectSearch,
    newest: datetime | None,
    others: datetime | None,
) -> None:
    """Say that nothing fits, and what may be the matter: only the default window hides anything.

    *newest* is of the kind that was looked for, *others* of the other one: mail and rejections.
    """
    if newest is None:
        everything = "The database holds nothing yet: journal-postfix up --logfile FILE"
        _tell(everything if others is None else f"{what} is known at all.")
        return
    words = [f"{what} fits."]
    ids = (asked.queue_id, getattr(asked, "message_id", None))
    if ids == (None, None):
        moment = newest.astimezone().strftime("%Y-%m-%d %H:%M:%S")
        looks = asked.since is None or asked.since > newest
        words.append(f"The newest is of {moment}{'; --since DATE looks further back' if looks else ''}.")
    if asked.client is not None and "*" in asked.client:
        words.append("A client's pattern is one of names, not of addresses.")
    if isinstance(asked, delivery_search.DeliverySearch):
        if asked.recipient is not None and asked_address(asked.recipient).kind != "whole":
            words.append("A recipient's domain or pattern is looked for as it is after aliases.")
    else:
        whole = [name for name in (asked.sender, asked.recipient) if name and asked_address(name).kind == "whole"]
        if any("@" in name for name in whole):
            words.append("An address is looked for as typed and in lower case; '*ann@example.org' finds it in any.")
    _tell(" ".join(words))


def _tell(words: str) -> None:
    typer.echo(words, err=True)


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
