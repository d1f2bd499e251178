"""How two versions of a row become one: commutative, associative, idempotent. SQL has the same rules.

The SQL side is ``sinks/migrations``; ``tests/test_merging_agrees.py`` holds the two together. Values are compared as
text in code point order, which is PostgreSQL's order under ``COLLATE "C"``.
"""

from typing import Final

import msgspec

from schemas.deliveries import DeliveryFrom, DeliveryTo

MAX_HISTORY: Final = 200
"""Earlier attempts that a row keeps; a message tried more often keeps the latest of them."""
MAX_ENTRY_REPLY: Final = 160
"""Characters of the reply that an earlier attempt keeps."""

STATUS_RANK: Final = {"rejected": 0, "deferred": 1, "bounced": 3, "undeliverable": 3, "sent": 4, "deliverable": 4}
"""Which of two attempts of the same moment is the later one: the more final. Anything else is 2."""

EARLIEST: Final = frozenset({"queued_at"})
"""Fields of a message of which the smaller value wins; of all others, the greater."""

KEY_FIELDS: Final = ("host", "queue_id", "arrived_at")
MESSAGE_FIELDS: Final = tuple(f for f in DeliveryFrom.__struct_fields__ if f not in ("version", *KEY_FIELDS))
"""The fields of a message that merge."""

LATEST_FIELDS: Final = (
    "last_attempt_at", "status", "number", "service", "dsn", "relay", "reply", "delay", "delays", "connection_use",
    "tls", "queued_as", "next_queue_id",
)  # fmt: skip
"""The fields of a delivery that belong to the latest attempt and change together."""


def merge_messages(row: DeliveryFrom, other: DeliveryFrom) -> None:
    """Merge *other*, a version of the same message, into *row*."""
    for field in MESSAGE_FIELDS:
        theirs = getattr(other, field)
        if theirs is None:
            continue
        ours = getattr(row, field)
        if ours is None or (theirs < ours if field in EARLIEST else theirs > ours):
            setattr(row, field, theirs)


def attempt_order(row: DeliveryTo) -> tuple[str, int, int, str, str, str, str, str, str]:
    """Return what orders a row's latest attempt among others of the same delivery: time first, then how final it is."""
    rank = STATUS_RANK.get(row.status, 2)
    return (
        row.last_attempt_at, rank, row.number, row.status, row.dsn, row.relay, row.reply, row.service, row.delays or "",
    )  # fmt: skip


def attempt_entry(row: DeliveryTo) -> str:
    """Return the row's latest attempt as an entry of `DeliveryTo.history`.

    Seven fields with tabs between: time, rank, number, status, dsn, relay, reply. Entries sort as the attempts do.
    """
    reply = row.reply[:MAX_ENTRY_REPLY]
    rank = STATUS_RANK.get(row.status, 2)
    return f"{row.last_attempt_at}\t{rank}\t{row.number:04d}\t{row.status}\t{row.dsn}\t{row.relay}\t{reply}"


def merge_deliveries(row: DeliveryTo, other: DeliveryTo) -> None:
    """Merge *other*, a version of the same delivery, into *row*: latest attempt as a group, histories united."""
    row.origin = max(row.origin, other.origin)
    ours, theirs = attempt_entry(row), attempt_entry(other)
    later = attempt_order(other) > attempt_order(row)
    attempts = 0
    if ours != theirs or row.history != other.history:
        earlier = sorted({*row.history, *other.history, ours, theirs} - {theirs if later else ours})
        attempts = sum("\trejected\t" not in entry for entry in earlier)
        row.history = earlier[-MAX_HISTORY:]
    if later:
        for field in LATEST_FIELDS:
            setattr(row, field, getattr(other, field))
    attempts += row.status != "rejected"
    row.attempts = max(attempts, row.attempts, other.attempts)
    row.first_attempt_at = min(row.first_attempt_at, other.first_attempt_at)


def copy_delivery(row: DeliveryTo) -> DeliveryTo:
    """Return a copy that shares nothing that a merge changes."""
    return msgspec.structs.replace(row, history=list(row.history))
