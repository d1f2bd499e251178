"""A reading of the log with nothing but a few patterns, to hold the truth against: not the product's, and no parser."""

import re
from collections import Counter
from typing import Final

import msgspec

from lab.truth import OneOf, Truth

_LINE: Final = re.compile(r"^\w{3} [ \d]\d [\d:]{8} \S+ (?P<program>\S+)\[\d+\]: (?P<text>.*)$")
_ID: Final = re.compile(r"^(?:warning: )?([0-9A-F]{8,14}|[0-9B-DF-HJ-NP-TV-Zb-df-hj-np-tv-z]{10,12}z\w+): ")
_TRIED: Final = re.compile(
    r'^(\w+): to=<((?:"[^"]*"|[^">])*)>,(?: orig_to=<([^>]*)>,)? relay=.*?, status=(sent|deferred|bounced) \('
)
_NOQUEUE: Final = re.compile(r"^NOQUEUE: (?!warn|info)([a-z_-]+): ([A-Z-]+) from .* helo=<")
_REFUSED: Final = re.compile(r"^\w+: (?:milter-)?reject: ")
_TO: Final = re.compile(r' to=<((?:"[^"]*"|[^">])*)>,? proto=ESMTP,? helo=<')

_RAW: Final = {"discarded": "sent", "expired": "deferred", "deleted": "deferred", "held": "deferred"}


class Reading(msgspec.Struct):
    """What a log says, or should say."""

    attempts: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)
    """By recipient and original recipient."""
    last: Counter[tuple[str, str, str]] = msgspec.field(default_factory=Counter)
    """Recipient, original recipient and the last status that was logged, a queue id each."""
    rejects: Counter[tuple[str, str, str]] = msgspec.field(default_factory=Counter)
    """Action, stage and recipient of what had no queue id."""
    refused: int = 0
    """Rejects of a recipient or of a message that has a queue id."""
    queue_ids: int = 0
    rest: list[str] = []
    """Lines that are no log lines."""


def read(log: bytes) -> Reading:
    """Read a log in the traditional format."""
    reading = Reading()
    last: dict[tuple[str, str, str], str] = {}
    ids = set()
    for line in log.decode("utf-8").splitlines():
        whole = _LINE.match(line)
        if whole is None:
            reading.rest.append(line)
            continue
        text = whole["text"]
        if named := _ID.match(text):
            ids.add(named[1])
        if tried := _TRIED.match(text):
            queue_id, recipient, orig, status = tried[1], tried[2], tried[3] or "", tried[4]
            reading.attempts[recipient, orig] += 1
            last[queue_id, recipient, orig] = status
        elif (named and _REFUSED.match(text)) or text.endswith(": queue file size limit exceeded"):
            reading.refused += 1
        elif refused := _NOQUEUE.match(text):
            to = _TO.search(text)
            reading.rejects[refused[1], refused[2], to[1] if to else ""] += 1
    reading.last = Counter((recipient, orig, status) for (_, recipient, orig), status in last.items())
    reading.queue_ids = len(ids)
    return reading


def supposed(truth: Truth, read: Reading) -> Reading:
    """Return the reading that the truth supposes; where it leaves a number of attempts open, *read* fills it in."""
    reading = Reading(queue_ids=len({row.message for row in truth.deliveries}))
    reading.refused = sum(row.status == "rejected" for row in truth.deliveries)
    for row in truth.deliveries:
        status = row.status.values[0] if isinstance(row.status, OneOf) else row.status
        recipient = row.find.get("recipient")
        if recipient is None or status in {"rejected", "cancelled"}:
            continue
        key = str(recipient), str(row.find.get("orig_recipient") or row.claims.get("orig_recipient") or "")
        reading.attempts[key] += row.attempts or read.attempts[key]
        reading.last[*key, _RAW.get(str(status), str(status))] += 1
    for row in truth.rejects:
        if row.message:  # it had a queue id
            continue
        reading.rejects[str(row.claims["action"]), str(row.claims["stage"]), str(row.find["recipient"] or "")] += 1
    return reading
