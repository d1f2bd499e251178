"""bounce, defer and trace: the messages that they make (``src/bounce/bounce_notify_service.c`` and its like)."""

import re

from streams.parsing.facts import Child, Parsed
from streams.parsing.formats import Family, Line, fact, quiet

_NEW_ID = r"([0-9A-Za-z]{6,32})$"


def _notified(found: re.Match[str], line: Line) -> Parsed:
    return Parsed(what="bounce.notification", queue_id=line.queue_id, child=Child(found[2], found[1]))


BOUNCE = Family(
    queued=(
        fact(
            "bounce.notification",
            "",
            r"((?:sender|postmaster) (?:non-delivery|delivery status|delay|undeliverable)(?: notification)?|"
            r"postmaster [a-z -]{1,60}): " + _NEW_ID,
            _notified,
        ),
        *quiet("bounce", "undeliverable postmaster notification discarded", "sender notification failed"),
        *quiet("bounce", "postmaster notification failed", "sender ", "postmaster ", "status="),
    ),
    bare=quiet("bounce", "unexpected ", "premature end-of-input", "undeliverable ", "bounce ", "open ", "dict_"),
)
