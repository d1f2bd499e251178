"""Refusals as smtpd, postscreen, cleanup and milters log them: one grammar, with free text in it that may fake fields.

``ACTION: STAGE from CLIENT: TEXT; from=<> to=<> proto= helo=<>[ sasl_*=]``, each field optional
(``src/smtpd/smtpd_check.c``, ``src/cleanup/cleanup_milter.c``; ``src/postscreen/postscreen_smtpd.c`` puts commas
between the fields). TEXT and the fields hold what the client sent.
"""

import re
from itertools import islice
from typing import Any, Final, NamedTuple

from streams.parsing.facts import Attempt, Parsed, Refusal
from streams.parsing.formats import Line
from streams.parsing.reasons import reason_of
from streams.parsing.tokens import ADDRESS, CLIENT, MAX_TEXT, address, client, response

_head = re.compile(rf"([A-Z][A-Z-]*+)(?: from {CLIENT})?: ").match
_MOST_PLACES: Final = 16
"""Places that are looked at for the fields' beginning: a text full of fakes must not take long."""
_field_follows = re.compile(r";(?: (?=from=<|to=<|proto=|helo=<)|$)")
_fields = re.compile(rf"(?:from=<{ADDRESS}>,? ?)?(?:to=<{ADDRESS}>,? ?)?(?:proto=([^ ,]*+),? ?)?(.*+)", re.DOTALL).match
_sasl = re.compile(r" sasl_(method|username|sender)=")


class Envelope(NamedTuple):
    """The fields at the end of a refusal."""

    sender: str | None
    recipient: str | None
    protocol: str | None
    helo: str | None
    sasl_username: str | None
    rest: str
    """What follows the fields: the text of a cleanup action."""

    def message(self) -> dict[str, Any]:
        """Return what it says of the message as a whole."""
        fields = {"sender": self.sender, "protocol": self.protocol, "helo": self.helo}
        return {name: value for name, value in fields.items() if value is not None}


def read_envelope(text: str) -> Envelope | None:
    """Read ``from=<> to=<> proto= helo=<>…`` to the end of *text*; None where *text* isn't that."""
    found = _fields(text)
    assert found is not None  # each of them is optional
    sender, recipient, protocol, tail = found.groups()
    helo = username = None
    rest = ""
    if tail.startswith("helo=<"):
        end = tail.find(">: ") if ">: " in tail else tail.rfind("> sasl_")
        if end < 0:
            end = len(tail) - tail.endswith(">")
        helo, tail = tail[6:end][:255], tail[end + 1 :]
    if tail.startswith((" sasl_", "sasl_")):
        parts = _sasl.split(tail if tail.startswith(" ") else " " + tail)
        username = dict(zip(parts[1::2], parts[2::2], strict=True)).get("username")
        if username is not None and username.startswith("<") and username.endswith(">"):
            username = username[1:-1]  # so in lines about milters and proxies
    elif tail.startswith(": "):
        rest = tail[2:]
    elif tail:
        return None
    return Envelope(
        sender and address(sender), recipient and address(recipient), protocol and protocol[:16], helo, username, rest
    )


def places(text: str, end: int) -> list[int]:
    """Return where fields may begin in *text* before *end*, the last of them first."""
    return [found.start() for found in _field_follows.finditer(text, 0, end)][: -_MOST_PLACES - 1 : -1]


def split_envelope(text: str) -> tuple[str, Envelope]:
    """Return the free text of a refusal and the fields after it.

    The text quotes what the client said in ``<…>: `` at its beginning, so fields are looked for behind that; the first
    place from which the whole rest reads as fields is theirs, since the last of them (helo) is free text again.
    """
    start = 0
    opening = text.find("<")
    if 0 <= opening <= len("550 5.1.1 "):
        start = max(text.find(">: ", opening), 0)
    for found in islice(_field_follows.finditer(text, start), _MOST_PLACES):
        envelope = read_envelope(text[found.end() :])
        if envelope is not None:
            return text[: found.start()], envelope
    return text, Envelope(None, None, None, None, None, "")


def read_refusal(action: str, text: str) -> Refusal | None:
    """Read a refusal from behind its ``ACTION: ``; None where *text* isn't one."""
    head = _head(text)
    if head is None:
        return None
    reply, envelope = split_envelope(text[head.end() :])
    code, dsn = response(reply)
    fields = client(head[2] or "", head[3] or "", head[4]) if head[3] is not None else {}
    return Refusal(
        action=action,
        stage=head[1],
        code=code,
        dsn=dsn,
        reply=reply[:MAX_TEXT],
        reason=None if action.endswith(("hold", "discard")) else reason_of(reply, dsn, code),
        sender=envelope.sender,
        recipient=envelope.recipient,
        protocol=envelope.protocol,
        helo=envelope.helo,
        sasl_username=envelope.sasl_username,
        **fields,  # type: ignore[arg-type]
    )


def decided(daemon: str, action: str, text: str, line: Line) -> Parsed:
    """Return what a refusal (or hold, or discard) of *action* means for the message whose queue id *line* has."""
    refusal = read_refusal(action, text)
    if refusal is None:
        return Parsed(what="")
    fields = {"sender": refusal.sender, "protocol": refusal.protocol, "helo": refusal.helo}
    message: dict[str, Any] = {name: value for name, value in fields.items() if value is not None}
    moments: tuple[str, ...] = ()
    attempt = None
    if action.endswith("hold"):
        moments = ("held_at",)
    elif action.endswith("discard"):
        moments = ("discarded_at",)
        message["discard_reply"] = refusal.reply
    else:
        if refusal.recipient is not None:
            attempt = Attempt(
                recipient=refusal.recipient,
                status="rejected",
                dsn=refusal.dsn or "",
                reply=refusal.reply,
                stage=refusal.stage,
                code=refusal.code,
                reason=refusal.reason,
            )
        if refusal.stage != "RCPT":  # at any other stage it is refused for all its recipients
            moments = ("rejected_at",)
            message |= {
                "reject_stage": refusal.stage,
                "reject_reply": refusal.reply,
                "reject_reason": refusal.reason,
            }
    what = f"{daemon}.{action}"
    return Parsed(what=what, queue_id=line.queue_id, message=message, moments=moments, attempt=attempt)
