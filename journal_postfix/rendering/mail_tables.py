"""Deliveries and rejections as tables."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Final

from rich.text import Text

from journal_postfix.rendering.characters import address, plain
from journal_postfix.rendering.table import Column, Row, table_lines
from web.searches.journey import client_of
from web.searches.records import Record

STATUS_STYLES: Final = {
    "sent": "green", "deferred": "yellow", "queued": "yellow", "held": "yellow", "bounced": "red", "expired": "red",
    "rejected": "red", "undeliverable": "red", "deleted": "magenta", "discarded": "magenta", "cancelled": "magenta",
}  # fmt: skip
_WITHOUT_REASON: Final = frozenset({"sent", "queued"})

_DELIVERIES: Final = (
    Column("ARRIVED", 14),
    Column("STATUS", 8),
    Column("QUEUE ID", 8),
    Column("SENDER", 8, elastic=True),
    Column("RECIPIENT", 8, elastic=True),
)
_REJECTS: Final = (
    Column("AT", 14),
    Column("ACTION", 6),
    Column("CLIENT", 8, elastic=True),
    Column("SENDER", 8, elastic=True),
    Column("RECIPIENT", 8, elastic=True),
)
_WIDE: Final = 110
"""Cells of a terminal that has room for the client's name beside its address."""
_A_LONG_TIME: Final = timedelta(days=300)


def short_time(moment: datetime | None, now: datetime) -> str:
    """Return the time in this machine's zone: without the year where it is plain which one, else without seconds."""
    if moment is None:
        return ""
    local = moment.astimezone()
    return local.strftime("%m-%d %H:%M:%S" if abs(now - moment) < _A_LONG_TIME else "%Y-%m-%d %H:%M")


def delivery_lines(records: Iterable[Record], width: int, now: datetime) -> Iterator[Text]:
    """Yield a table of deliveries; below each that wasn't sent, why."""
    return table_lines(_DELIVERIES, (_delivery(record, now) for record in records), width)


def _delivery(record: Record, now: datetime) -> Row:
    status = record["status"] or ""
    cells = (
        short_time(record["arrived_at"], now),
        plain(status),
        plain(record["queue_id"]),
        address(record["sender"]),
        "-" if record["recipient"] is None else address(record["recipient"]),
    )
    below = "" if status in _WITHOUT_REASON else reason(record["relay"], record["reply"])
    return Row(cells, ("", STATUS_STYLES.get(status, ""), "cyan", "", ""), below)


def reason(relay: str | None, reply: str | None) -> str:
    """Return what was said of an attempt, and where, if it doesn't say so."""
    relay, reply = relay or "", reply or ""
    named = relay in {"", "none"} or relay.partition("[")[0] in reply
    return plain(reply if named else f"{relay}: {reply}")


def reject_lines(records: Iterable[Record], width: int, now: datetime) -> Iterator[Text]:
    """Yield a table of rejections; below each, the answer that the client got."""
    return table_lines(_REJECTS, (_reject(record, now, named=width >= _WIDE) for record in records), width)


def _reject(record: Record, now: datetime, *, named: bool) -> Row:
    action = record["action"] or ""
    cells = (
        short_time(record["at"], now),
        plain(action),
        plain(client_of(record) if named else record["client_address"] or client_of(record)) or "?",
        address(record["sender"]),
        address(record["recipient"]),
    )
    below = ": ".join(filter(None, (record["stage"], _answer(record))))
    return Row(cells, ("", "red" if "reject" in action else "yellow", "", "", ""), plain(below))


def _answer(record: Record) -> str:
    """Return the reply with its code and its DSN, each once."""
    said = record["reply"] or ""
    for part in (record["dsn"] or "", str(record["code"] or "")):
        if said.startswith(str(record["code"] or " ")):
            break
        if not said.startswith(part):
            said = f"{part} {said}".rstrip()
    return said
