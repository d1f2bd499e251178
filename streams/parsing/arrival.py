"""Mail that comes in by pickup (``src/pickup/pickup.c``) and qmqpd (``src/qmqpd/qmqpd.c``)."""

import re

from schemas.deliveries import ORIGIN_SURE
from streams.parsing.facts import Parsed
from streams.parsing.formats import Family, Line, fact, quiet
from streams.parsing.tokens import ADDRESS, CLIENT, address, client


def taken_by(line: Line) -> dict[str, object]:
    """Return the fields that say which service took a message."""
    return {"service": line.service, "instance": line.instance, "pid": line.pid}


def _picked_up(found: re.Match[str], line: Line) -> Parsed:
    message = {"uid": int(found[1]), "sender": address(found[2]), **taken_by(line)}
    if found[3]:
        message["orig_queue_id"] = found[3]
    return Parsed(what="pickup.uid", queue_id=line.queue_id, origin=ORIGIN_SURE, message=message)


def _qmqp_client(found: re.Match[str], line: Line) -> Parsed:
    message = {**client(found[1], found[2], found[3]), **taken_by(line)}
    return Parsed(what="qmqpd.client", queue_id=line.queue_id, origin=ORIGIN_SURE, message=message)


PICKUP = Family(
    "pickup/pickup.c",
    queued=(
        fact(
            "pickup.uid",
            "uid=",
            rf"(\d{{1,10}}) from=<{ADDRESS}>(?: orig_id=([0-9A-Za-z]{{6,32}}))?",
            _picked_up,
            "ID: uid=N from=<a>[ orig_id=OLD]",
            "the message begins: a local submission, or OLD under a new id after a requeue",
        ),
        *quiet("queue", "message has "),
    ),
    bare=quiet("queue", "maildrop/", "remove ", "open ", "uid=", "message has ", "rename "),
)

QMQPD = Family(
    "qmqpd/qmqpd.c",
    queued=(
        fact(
            "qmqpd.client",
            "client=",
            CLIENT,
            _qmqp_client,
            "ID: client=NAME[ADDRESS]",
            "the message begins",
        ),
        *quiet("connection", "lost connection ", "timeout ", "read/write ", "malformed ", "too much ", "netstring "),
    ),
    bare=quiet("connection", "connect from ", "disconnect from ", "lost connection ", "timeout ", "malformed "),
)
