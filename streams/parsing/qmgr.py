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


QMGR = Family(
    queued=(
        fact("qmgr.removed", "removed", r"$", _removed),
        # Logged again on every queue run: the first time is when it was queued.
        fact("qmgr.active", "from=<", rf"{ADDRESS}>, size=(\d{{1,18}}), nrcpt=(\d{{1,9}}) \(queue \w+\)", _active),
        fact("qmgr.expired", "from=<", rf"{ADDRESS}>, status=(?:force-)?expired, returned to sender", _expired),
        *DELIVERIES,
        *quiet("queue", "skipped, still being delivered", "to=<"),
    ),
    bare=quiet(
        "queue",
        "connect to transport ",
        "connect to subsystem ",
        "premature end-of-input on ",
        "private/",
        "transport ",
        "mail for ",
        "bounce file ",
        "backup ",
        "problem talking to ",
        "uninitialized ",
        "active queue ",
        "incoming queue ",
        "unexpected attribute ",
        "unable to ",
        "process ",
        "end-of-input ",
    ),
)
