"""bounce, defer and trace: the messages that they make (``src/bounce/bounce_notify_service.c`` and its like)."""

import re

from streams.parsing.facts import Child, Parsed
from streams.parsing.formats import Family, Line, fact, quiet

_NEW_ID = r"([0-9A-Za-z]{6,32})$"


def _notified(found: re.Match[str], line: Line) -> Parsed:
    return Parsed(what="bounce.notification", queue_id=line.queue_id, child=Child(found[2], found[1]))


BOUNCE = Family(
    "bounce/bounce_*_service.c, bounce_notify_verp.c",
    queued=(
        fact(
            "bounce.notification",
            "",
            r"((?:sender|postmaster) (?:non-delivery|delivery status|delay|undeliverable)(?: notification)?|"
            r"postmaster [a-z -]{1,60}): " + _NEW_ID,
            _notified,
            "ID: sender|postmaster non-delivery|delivery status|delay notification: NEWID",
            "NEWID is a message made from this one, with the reason",
        ),
        *quiet("bounce", "undeliverable postmaster notification discarded", "sender notification failed"),
        *quiet("bounce", "postmaster notification failed", "sender ", "postmaster ", "status=", "not sending "),
    ),
    bare=quiet("bounce", "unexpected ", "undeliverable ", "bounce ", "open ", "not sending "),
)
