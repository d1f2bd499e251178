"""The queue manager, qmgr and oqmgr (``src/qmgr/qmgr_active.c``, ``qmgr_message.c``, ``src/oqmgr/``)."""

import re

from streams.parsing.delivery import DELIVERIES
from streams.parsing.facts import Parsed
from streams.parsing.formats import Family, Line, fact, quiet
from streams.parsing.tokens import ADDRESS, address


def _active(found: re.Match[str], line: Line) -> Parsed:
    return Parsed(
        what="qmgr.active",
        queue_id=line.queue_id,
        message={"sender": address(found[1]), "size": int(found[2]), "recipient_count": int(found[3])},
        moments=("queued_at",),
    )


def _expired(found: re.Match[str], line: Line) -> Parsed:
    return Parsed(
        what="qmgr.expired", queue_id=line.queue_id, message={"sender": address(found[1])}, moments=("expired_at",)
    )


def _removed(_: re.Match[str], line: Line) -> Parsed:
    return Parsed(what="qmgr.removed", queue_id=line.queue_id, moments=("removed_at",))


ACTIVE = fact(
    "qmgr.active",
    "from=<",
    rf"{ADDRESS}>, size=(\d{{1,18}}), nrcpt=(\d{{1,9}})(?: \(queue \w+\))?",
    _active,
    "ID: from=<a>, size=N, nrcpt=N (queue active)",
    "sender, size, number of recipients, when it was queued",
)
"""Logged again on every queue run: the first time is when it was queued."""

QMGR = Family(
    "qmgr/qmgr_active.c, qmgr_message.c, global/opened.c; the same in oqmgr/",
    queued=(
        fact("qmgr.removed", "removed", r"\s*$", _removed, "ID: removed", "the message is finished"),
        ACTIVE,
        fact(
            "qmgr.expired",
            "from=<",
            rf"{ADDRESS}>, status=(?:force-)?expired, returned to sender",
            _expired,
            "ID: from=<a>, status=expired|force-expired, returned to sender",
            "given up: recipients that were not reached are `expired`",
        ),
        *DELIVERIES,
        *quiet("queue", "skipped, still being delivered", "removing "),
        *quiet("cut", "from=<"),
    ),
    bare=quiet(
        "queue", "transport ", "mail for ", "bounce file ", "backup ", "uninitialized ", "active queue ",
        "incoming queue ", "unable to ", "process ", "end-of-input ", "start sorted ", "end sorted ", "qmgr_",
    ),
)  # fmt: skip
