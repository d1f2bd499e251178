"""What happened to a message, in the order of time: pure, from its rows to events."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from web.searches.records import Record


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that happened."""

    at: datetime
    what: str
    """``arrived``, a status (``sent``, ``deferred``, …), ``held``, ``released``, ``expired``, ``removed``, …"""
    recipient: str | None = None
    orig_recipient: str = ""
    relay: str = ""
    dsn: str = ""
    text: str = ""
    """What was said."""
    service: str = ""
    """The agent that tried, of the latest attempt."""
    attempt: int = 0
    """Which attempt for this recipient it was, from 1; 0 for anything else, and where there was only one."""


class Hop(msgspec.Struct, frozen=True):
    """One message on the way."""

    message: Record
    """The row of ``delivery_from``."""
    deliveries: Sequence[Record]
    """Its rows of ``delivery_to`` with their ``effective_status``; perhaps not all, see `more`."""
    status: str = ""
    """The effective status of a message without deliveries; empty where these have theirs."""
    more: int = 0
    """Deliveries that were left out."""
    link: str = ""
    """How it hangs together with the hop that led here, e.g. ``forwarded``; empty for what was asked for."""
    linked_from: str = ""
    """Queue id of that hop."""

    @property
    def key(self) -> tuple[str, str, datetime]:
        """Host, queue id and time of arrival."""
        return self.message["host"], self.message["queue_id"], self.message["arrived_at"]


_MOMENTS: Final = (
    ("held_at", "held", None),
    ("released_at", "released", None),
    ("requeued_at", "requeued", None),
    ("rejected_at", "rejected", "reject_reply"),
    ("discarded_at", "discarded", "discard_reply"),
    ("cancelled_at", "cancelled", None),
    ("expired_at", "expired", None),
    ("deleted_at", "deleted", None),
    ("removed_at", "removed", None),
)
"""Columns of a message that are a moment, what happened then, and the column that says why."""

_BY_A_TABLE: Final = "by an access table or a Milter, before it was queued"
_INFERRED: Final = {"held": _BY_A_TABLE, "discarded": _BY_A_TABLE, "cancelled": "given up by the client, never queued"}
"""Statuses of a message that no column may tell the moment of, and what then became of it."""

_ORDER: Final = {"arrived": 0, "removed": 3, "deleted": 3, "expired": 2}
"""What comes first of what the log has in one second; anything else is 1."""


def events_of(hop: Hop) -> list[Event]:
    """Return what happened to the hop's message, oldest first."""
    events = [_arrival(hop.message)]
    for column, what, why in _MOMENTS:
        if (at := hop.message[column]) is not None:
            events.append(Event(at, what, text=(hop.message[why] or "") if why else ""))
    for delivery in hop.deliveries:
        events.extend(attempts_of(delivery))
    if hop.status in _INFERRED and all(event.what != hop.status for event in events):
        events.append(Event(hop.message["arrived_at"], hop.status, text=_INFERRED[hop.status]))
    return sorted(events, key=lambda event: (event.at, _ORDER.get(event.what, 1)))


def attempts_of(delivery: Record) -> Iterator[Event]:
    """Yield the attempts to deliver to one recipient, oldest first."""
    earlier = [event for entry in delivery["history"] or () if (event := _earlier(entry, delivery)) is not None]
    # What the history has no room for was before it.
    kept = sum(event.what != "rejected" for event in earlier) + (delivery["status"] != "rejected")
    number = max(0, (delivery["attempts"] or 0) - kept)
    many = number + kept > 1
    for event in earlier:
        number += event.what != "rejected"
        yield msgspec.structs.replace(event, attempt=number if many and event.what != "rejected" else 0)
    # Postfix's agent that throws mail away logs that it was sent.
    thrown_away = (delivery["status"], delivery["effective_status"]) == ("sent", "discarded")
    yield Event(
        delivery["last_attempt_at"],
        "discarded" if thrown_away else delivery["status"],
        recipient=delivery["recipient"],
        orig_recipient=delivery["orig_recipient"] or "",
        relay=delivery["relay"] or "",
        dsn=delivery["dsn"] or "",
        text=delivery["reply"] or "",
        service=delivery["service"] or "",
        attempt=number + 1 if many and delivery["status"] != "rejected" else 0,
    )


def _earlier(entry: str, delivery: Record) -> Event | None:
    """Read a `schemas.merging.attempt_entry`; a reply may hold tabs."""
    parts = entry.split("\t", 6)
    try:
        at = datetime.fromisoformat(parts[0]).astimezone(UTC)
        _, _, _, status, dsn, relay, reply = parts
    except ValueError:
        return None
    return Event(
        at, status, recipient=delivery["recipient"], orig_recipient=delivery["orig_recipient"] or "",
        relay=relay, dsn=dsn, text=reply,
    )  # fmt: skip


def _counted(number: int | None, what: str) -> str:
    return "" if number is None else f"{number} {what}{'' if number == 1 else 's'}"


def client_of(record: Record) -> str:
    """Return the client as ``name[address]``, as far as it is known."""
    name, address = record["client_name"] or "", record["client_address"] or ""
    return f"{name}[{address}]" if name not in {"", "unknown"} and address else address or name


def _arrival(message: Record) -> Event:
    client = client_of(message)
    if not client and message["uid"] is not None:
        client = f"user id {message['uid']}"
    if not client and message["parent_queue_id"]:
        reason = message["parent_reason"]
        how = f"{reason} of" if reason and reason != "forwarded" else "forwarded from" if reason else "made from"
        client = f"{how} {message['parent_queue_id']}"
    facts: list[Any] = [
        (client if client.startswith(("forwarded ", "made from ")) else f"from {client}") if client else "",
        f"by {message['service']}" if message["service"] else "",
        f"login {message['sasl_username']}" if message["sasl_username"] else "",
        _counted(message["size"], "byte"),
        _counted(message["recipient_count"], "recipient"),
    ]
    return Event(message["arrived_at"], "arrived", text=", ".join(filter(None, facts)))
