"""A message's way as a timeline."""

import textwrap
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from rich.cells import cell_len, chop_cells
from rich.text import Text

from journal_postfix.rendering.characters import address, cut_end, cut_middle, plain
from journal_postfix.rendering.mail_tables import STATUS_STYLES, reason, short_time
from web.searches.journey import Event, Hop, attempts_of, events_of
from web.searches.records import json_document, time_text

_WHAT_WIDTH: Final = 10
_MOST_SAID: Final = 3
"""Lines that a reply may take."""


def hop_lines(hops: Sequence[Hop], width: int, now: datetime) -> Iterator[Text]:
    """Yield every hop: a heading, then what happened, oldest first."""
    for i, hop in enumerate(hops):
        if i:
            yield Text()
        yield from _heading(hop, width)
        for event in events_of(hop):
            yield from _event(event, width, now)
        if hop.more:
            yield Text(
                f"  and {hop.more} more: journal-postfix deliveries --queue-id {hop.message['queue_id']} --limit 0"
            )


def _heading(hop: Hop, width: int) -> Iterator[Text]:
    message = hop.message
    title = Text()
    title.append(plain(message["queue_id"]), "bold cyan")
    title.append(f" on {plain(message['host'])}")
    if hop.link:
        title.append(f"  ({plain(hop.link)} {plain(hop.linked_from)})", "dim")
    title.truncate(width, overflow="ellipsis")
    yield title
    yield Text(cut_middle(f"  sender {address(message['sender'])}", width))
    if message["message_id"]:
        yield Text(cut_middle(f"  message-id <{plain(message['message_id'])}>", width))


def _event(event: Event, width: int, now: datetime) -> Iterator[Text]:
    line = Text("  ")
    line.append(short_time(event.at, now), "dim")
    line.append("  ")
    line.append(f"{plain(event.what):<{_WHAT_WIDTH}}", STATUS_STYLES.get(event.what, "bold"))
    indent = line.cell_len + 1
    said = plain(event.text)
    if event.recipient is None:
        yield from _wrapped(line, said, width, indent)
        return
    line.append(" " + cut_middle(address(event.recipient), width - indent))
    by = ", ".join(filter(None, [plain(event.service), f"attempt {event.attempt}" if event.attempt else ""]))
    if by and line.cell_len + 2 + cell_len(by) <= width:
        line.append(f"  {by}", "dim")
    yield line
    if event.orig_recipient:
        yield Text(" " * indent + cut_middle(f"for {address(event.orig_recipient)}", width - indent))
    code = f"{event.dsn} " if event.dsn and event.dsn not in event.text else ""
    yield from _wrapped(Text(" " * (indent - 1)), reason(event.relay, code + event.text), width, indent)


def _wrapped(first: Text, said: str, width: int, indent: int) -> Iterator[Text]:
    room = max(20, width - indent)
    words = textwrap.wrap(said[: room * (_MOST_SAID + 1)], room, break_on_hyphens=False)
    pieces = [piece for line in words for piece in chop_cells(line, room)]
    if len(pieces) > _MOST_SAID:
        pieces[_MOST_SAID - 1 :] = [cut_end(" ".join(pieces[_MOST_SAID - 1 :]), room)]
    if pieces:
        first.append(" " + pieces[0])
    first.rstrip()
    if first.plain:
        yield first
    yield from (Text(" " * indent + piece) for piece in pieces[1:])


def as_json(hops: Sequence[Hop]) -> list[dict[str, Any]]:
    """Return the hops for JSON: every field of the message, its deliveries with all their attempts, the links."""
    return [
        {
            "link": hop.link or None,
            "linked_from": hop.linked_from or None,
            "message": _values(hop.message) | {"status": hop.status or None},
            "deliveries": [
                {
                    **_values({k: v for k, v in delivery.items() if k not in {"history", "effective_status"}}),
                    "status": delivery["effective_status"],
                    "history": [
                        {
                            "at": time_text(attempt.at), "status": attempt.what, "dsn": attempt.dsn,
                            "relay": attempt.relay, "reply": attempt.text,
                        }
                        for attempt in attempts_of(delivery)
                    ],
                }
                for delivery in hop.deliveries
            ],
            "deliveries_left_out": hop.more,
        }
        for hop in hops
    ]  # fmt: skip


def json_text(hops: Sequence[Hop]) -> str:
    """Return the hops as an indented JSON document."""
    return json_document(as_json(hops))


def _values(record: Any) -> dict[str, Any]:
    return {name: time_text(v) if isinstance(v, datetime) else v for name, v in record.items()}
