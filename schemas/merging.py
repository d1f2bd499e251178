"""How two versions of a row become one: commutative, associative, idempotent. SQL has the same rules.

The SQL side is ``sinks/migrations``; ``tests/test_merging_agrees.py`` holds the two together. Values are compared as
text in code point order, which is PostgreSQL's order under ``COLLATE "C"``.
"""

import re
from collections.abc import Mapping
from typing import Final

from schemas.deliveries import DeliveryFrom, DeliveryTo

MAX_HISTORY: Final = 200
"""Earlier attempts that a row keeps, and as many earlier rejections: the latest. Also the most that it counts."""
MAX_ENTRY_REPLY: Final = 160
"""Characters of the reply that an earlier attempt keeps."""

STATUS_RANK: Final = {"rejected": 0, "deferred": 1, "bounced": 3, "undeliverable": 3, "sent": 4, "deliverable": 4}
"""Which of two attempts of the same moment is the later one: the more final. Anything else is 2."""

EARLIEST: Final = frozenset({"queued_at", "attempted_at"})
"""Fields of a message of which the smaller value wins; of all others but SENDER_FIELDS, the greater."""

SENDER_FIELDS: Final = ("sender", "verp_id")
"""Fields of a message that change together, in `sender_order`: the sender, and what was read from it."""

KEY_FIELDS: Final = ("host", "queue_id", "arrived_at")
MESSAGE_FIELDS: Final = tuple(
    f for f in DeliveryFrom.__struct_fields__ if f not in ("version", "parser", "older", *KEY_FIELDS)
)
"""The fields of a message that merge."""
READ_FIELDS: Final = tuple(
    f for f in MESSAGE_FIELDS if f not in ("origin", "recipient_count") and not f.endswith("_at")
)
"""Those that one line tells: of two readings the newer parser's counts."""
_GROWING_FIELDS: Final = tuple(f for f in MESSAGE_FIELDS if f not in READ_FIELDS)
"""Those that more lines make better, whichever parser read them."""
_SINGLE_FIELDS: Final = tuple(f for f in MESSAGE_FIELDS if f not in SENDER_FIELDS)
_ALIKE: Final[Mapping[str, int]] = {}
_older_reading: Final = re.compile(r"(\w+):(\d{1,9})").fullmatch

LATEST_FIELDS: Final = (
    "last_attempt_at", "status", "number", "parser", "service", "dsn", "relay", "reply", "delay", "delays",
    "connection_use", "tls", "queued_as", "next_queue_id", "stage", "code", "reason",
    "pid",
)  # fmt: skip
"""The fields of a delivery that belong to the latest attempt and change together."""


def merge_messages(row: DeliveryFrom, other: DeliveryFrom) -> None:
    """Merge *other*, a version of the same message, into *row*."""
    # The senders before `queued_at`, which says whose they are.
    if row.parser != other.parser or row.older is not None or other.older is not None:
        _merge_readings(row, other)
        fields = _GROWING_FIELDS
    else:
        if _order_of_sender(other) > _order_of_sender(row):
            row.sender, row.verp_id = other.sender, other.verp_id
        fields = _SINGLE_FIELDS
    for field in fields:
        theirs = getattr(other, field)
        if theirs is None:
            continue
        ours = getattr(row, field)
        if ours is None or (theirs < ours if field in EARLIEST else theirs > ours):
            setattr(row, field, theirs)


def _merge_readings(row: DeliveryFrom, other: DeliveryFrom) -> None:
    """Give *row* what of both the newer parser read, field by field; what both have of one version is left to merge."""
    versions, theirs = readings(row), readings(other)
    if _order_of_sender(other, theirs) > _order_of_sender(row, versions):
        for field in SENDER_FIELDS:
            setattr(row, field, getattr(other, field))
            versions.pop(field, None)
            if field in theirs:
                versions[field] = theirs[field]
    for field, version in theirs.items():
        if field in SENDER_FIELDS:
            continue
        ours = versions.get(field, -1)
        if version > ours or (version == ours and getattr(other, field) > getattr(row, field)):
            setattr(row, field, getattr(other, field))
            versions[field] = version
    row.parser = max(row.parser, other.parser)
    row.older = _older(versions, row.parser)


def sender_order(
    queued: bool,  # noqa: FBT001 - the first of what orders
    sender: str | None,
    verp_id: str | None,
    sender_parser: int = 0,
    verp_parser: int = 0,
) -> tuple[object, ...]:
    """Return what orders a sender among others of its message: that of a version which was *queued* comes later.

    The queue manager's line, and no other, tells `queued_at`, and with it the sender that Postfix delivers for, after
    canonical maps and masquerading. pickup tells the one before; what a refusal tells, a client may have chosen. Those
    fill the gap until the message is queued. A version with `queued_at` counts even without a sender, which no line
    makes: else the order of merging would show. Of two of one rank the newer parser's counts, then the greater.
    """
    return queued, sender is not None, sender_parser, sender or "", verp_id is not None, verp_parser, verp_id or ""


def _order_of_sender(row: DeliveryFrom, versions: Mapping[str, int] = _ALIKE) -> tuple[object, ...]:
    return sender_order(
        row.queued_at is not None, row.sender, row.verp_id, versions.get("sender", 0), versions.get("verp_id", 0)
    )


def readings(row: DeliveryFrom) -> dict[str, int]:
    """Return which version of the parser read each of READ_FIELDS that the row has."""
    versions = {field: row.parser for field in READ_FIELDS if getattr(row, field) is not None}
    for entry in (row.older or "").split():
        found = _older_reading(entry)
        if found is not None and found[1] in versions:
            versions[found[1]] = min(int(found[2]), row.parser)
    return versions


def normalise_message(row: DeliveryFrom) -> None:
    """Make a row that someone else wrote fit to be merged: `older` as a merge would have left it."""
    if row.older is not None:
        row.older = _older(readings(row), row.parser)


def _older(versions: dict[str, int], parser: int) -> str | None:
    return " ".join([f"{field}:{version}" for field, version in sorted(versions.items()) if version < parser]) or None


def attempt_order(row: DeliveryTo) -> tuple[object, ...]:
    """Return what orders a row's latest attempt among others of its delivery: the entry, and what that leaves out.

    Of what was read of one moment the newer parser's comes later, also where it finds a line less final; but what was
    counted as an attempt stays one. Every field of the attempt takes part, so that two attempts of one order are one
    attempt. None comes first.
    """
    return (
        row.last_attempt_at, row.status != "rejected", row.parser, attempt_entry(row), row.reply, row.service,
        row.delays is not None, row.delays or "", row.delay is not None, row.delay or 0.0,
        row.connection_use is not None, row.connection_use or 0, row.tls is not None, row.tls or "",
        row.queued_as is not None, row.queued_as or "", row.next_queue_id is not None, row.next_queue_id or "",
        row.stage is not None, row.stage or "", row.code is not None, row.code or 0, row.reason is not None,
        row.reason or "", row.pid is not None, row.pid or 0,
    )  # fmt: skip


def attempt_entry(row: DeliveryTo) -> str:
    """Return the row's latest attempt as an entry of `DeliveryTo.history`.

    Seven fields with tabs between: time, rank, number and parser, status, dsn, relay, reply. Entries sort as the
    attempts of one parser do: by time, then how final they are.
    """
    reply = row.reply[:MAX_ENTRY_REPLY]
    rank = STATUS_RANK.get(row.status, 2)
    number = f"{row.number:010d}.{row.parser:04d}" if row.parser else f"{row.number:010d}"
    return f"{row.last_attempt_at}\t{rank}\t{number}\t{row.status}\t{row.dsn}\t{row.relay}\t{reply}"


def merge_deliveries(row: DeliveryTo, other: DeliveryTo) -> None:
    """Merge *other*, a version of the same delivery, into *row*: latest attempt as a group, histories united."""
    row.origin = max(row.origin, other.origin)
    ours = attempt_entry(row)
    if _only_follows(row, ours, other):
        later = True
        row.history = [*row.history, ours]
    else:
        theirs = attempt_entry(other)
        later = attempt_order(other) > attempt_order(row)
        if ours != theirs or row.history != other.history:
            row.history = united_history({*row.history, *other.history, ours, theirs}, theirs if later else ours)
    if later:
        for field in LATEST_FIELDS:
            setattr(row, field, getattr(other, field))
    row.attempts = max(row.attempts, other.attempts, counted_attempts(row))
    row.first_attempt_at = min(row.first_attempt_at, other.first_attempt_at)


def _only_follows(row: DeliveryTo, ours: str, other: DeliveryTo) -> bool:
    """Tell at once what nearly every line in the order of a log is: one attempt, later than all that *row* knows."""
    history = row.history
    return (
        not other.history
        and other.last_attempt_at > row.last_attempt_at
        and len(history) < MAX_HISTORY
        and (not history or history[-1] < ours)
    )


def united_history(entries: set[str], latest: str) -> list[str]:
    """Return the history of a row whose attempts are *entries*, of which *latest* is the row's own.

    A log line is one attempt, however many parsers read it: the newest one's reading is kept. Rejections are capped for
    themselves: if they could displace attempts, the order of merging would show.
    """
    lines = {_line_of(entry): entry for entry in sorted(entries, key=_by_parser)}
    lines.pop(_line_of(latest), None)
    earlier = sorted(lines.values())
    if len(earlier) <= MAX_HISTORY:
        return earlier
    attempts = [entry for entry in earlier if not _is_rejection(entry)]
    rejections = [entry for entry in earlier if _is_rejection(entry)]
    return sorted(attempts[-MAX_HISTORY:] + rejections[-MAX_HISTORY:])


def counted_attempts(row: DeliveryTo) -> int:
    """Return how many attempts the row itself knows of, MAX_HISTORY at most: what was cut off can't be counted."""
    latest = int(row.status != "rejected")
    if not row.history:
        return latest
    return min(sum(not _is_rejection(entry) for entry in row.history) + latest, MAX_HISTORY)


def normalise_delivery(row: DeliveryTo) -> None:
    """Make a row that someone else wrote fit to be merged: its history as a merge would have left it."""
    if row.history:
        row.history = united_history({*row.history}, attempt_entry(row))
    elif row.attempts > 0:  # nearly always
        return
    row.attempts = max(row.attempts, counted_attempts(row))


def _by_parser(entry: str) -> tuple[bool, str, str]:
    """Order the readings of one line, as `attempt_order` does: by the parser's version, as the entry writes it."""
    _, rank, number = (*entry.split("\t", 3), "", "", "")[:3]
    return rank != "0", (*number.split(".", 2), "")[1], entry


def _line_of(entry: str) -> tuple[str, str]:
    """Return what names the log line of an entry: its time and number."""
    time, _, number = (*entry.split("\t", 3), "", "", "")[:3]
    return time, number.partition(".")[0]


def _is_rejection(entry: str) -> bool:
    return entry.split("\t", 2)[1:2] == ["0"]
