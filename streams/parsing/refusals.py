"""Refusals as smtpd, postscreen, cleanup and milters log them: one grammar, with free text in it that may fake fields.

``ACTION: STAGE from CLIENT: TEXT; from=<> to=<> proto= helo=<>[ sasl_*=]``, each field optional
(``src/smtpd/smtpd_check.c``, ``src/cleanup/cleanup_milter.c``; ``src/postscreen/postscreen_smtpd.c`` puts commas
between the fields). TEXT and the fields hold what the client sent.
"""

import re
from typing import Any, Final, NamedTuple

from streams.parsing.facts import Attempt, Parsed, Refusal
from streams.parsing.formats import Line
from streams.parsing.reasons import reason_of
from streams.parsing.tokens import CLIENT, CLOSED_ADDRESS, MAX_TEXT, address, client, response

_head = re.compile(rf"([A-Z][A-Z-]*+(?: content)?)(?: from {CLIENT})?: ").match
_MOST_PLACES: Final = 16
"""Places that are looked at for the fields' beginning: a text full of fakes must not take long."""
_field_follows = re.compile(r";(?: (?=from=<|to=<|proto=|helo=<|[a-z]{0,5}=?$)|$)")
_fields = re.compile(
    rf"(?:from=<{CLOSED_ADDRESS}>,? ?)?(?:to=<{CLOSED_ADDRESS}>,? ?)?(?:proto=([^ ,:]*+),? ?)?(.*+)", re.DOTALL
).match
_cut_address = re.compile(r"(?:from|to)=<[^<>]*+").fullmatch
_FIELDS: Final = ("from=<", "to=<", "proto=", "helo=<", "sasl_method=", "sasl_username=", "sasl_sender=")
_sasl = re.compile(r" sasl_(method|username|sender)=")
_REFUSE_ALL: Final = frozenset({"MAIL", "DATA", "DATA content", "BDAT", "BDAT content", "END-OF-MESSAGE"})
"""Stages at which smtpd refuses a message for all its recipients."""


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


def read_envelope(text: str, *, any_helo: bool = False) -> Envelope | None:
    """Read ``from=<> to=<> proto= helo=<>…`` to the end of *text*; None where *text* isn't that.

    The log may have cut it, and then has less than all fields. With *any_helo* the helo may be anything, to the end.
    """
    found = _fields(text)
    assert found is not None  # each of them is optional
    sender, recipient, protocol, tail = found.groups()
    helo = username = None
    if tail.startswith("helo=<"):
        if any_helo:
            helo, tail = tail[6:].removesuffix(">"), ""
        else:
            helo, tail = _split_helo(tail)
        if helo is None:
            return None
        helo = helo[:255]
    rest = ""
    if tail.startswith((" sasl_", "sasl_")):
        if _field_follows.search(tail):  # a fake that would take the true fields for a name
            return None
        parts = _sasl.split(tail if tail.startswith(" ") else " " + tail)
        username = dict(zip(parts[1::2], parts[2::2], strict=True)).get("username")
        if username is not None and username.startswith("<") and username.endswith(">"):
            username = username[1:-1]  # so in lines about milters and proxies
    elif tail.startswith(": "):
        rest = tail[2:]
    elif tail and not _is_cut(tail):
        return None
    return Envelope(
        sender and address(sender), recipient and address(recipient), protocol and protocol[:16], helo, username, rest
    )


def _is_cut(tail: str) -> bool:
    """Tell whether *tail* is the beginning of a field, where the log ends."""
    field = tail.removeprefix(" ")
    return _cut_address(field) is not None or any(name.startswith(field) for name in _FIELDS)


def _split_helo(text: str) -> tuple[str | None, str]:
    """Return the helo that *text* begins with, and what follows; None where it holds what smtpd replaces."""
    name, blank, behind = text[6:].partition(" ")
    if name.endswith(">:"):
        name, behind = name[:-2], ":" + blank + behind
    elif name.endswith(">"):
        name, behind = name[:-1], blank + behind
    elif blank:
        return None, behind
    return (None if "<" in name or ">" in name else name), behind


def places(text: str, end: int) -> list[int]:
    """Return where fields may begin in *text* before *end*, the last of them first."""
    return [found.start() for found in _field_follows.finditer(text, 0, end)][: -_MOST_PLACES - 1 : -1]


def split_envelope(text: str) -> tuple[str, Envelope]:
    """Return the free text of a refusal and the fields after it.

    The text may hold anything, since it quotes what clients, other servers and milters said. The first place from which
    the whole rest reads as fields is theirs: of what they hold, nothing reads as the fields of a fake before them.
    Where there is none, the helo may hold what Postfix lets none hold; the text quotes it first, in ``<…>: ``.
    """
    found = places(text, len(text))[::-1]
    quoted = text.find(">: ") if 0 <= text.find("<") <= len("550 5.1.1 ") else 0
    for any_helo, candidates in ((False, found), (True, [at for at in found if at >= quoted])):
        for at in candidates:
            envelope = read_envelope(text[at + 1 :].removeprefix(" "), any_helo=any_helo)
            if envelope is not None and not envelope.rest:  # only cleanup writes a text behind them
                return text[:at], envelope
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
    what = f"{daemon}.{action}"
    fields = {"sender": refusal.sender, "protocol": refusal.protocol, "helo": refusal.helo}
    message: dict[str, Any] = {name: value for name, value in fields.items() if value is not None}
    if action.endswith("hold"):
        return Parsed(what=what, queue_id=line.queue_id, message=message, moments=("held_at",))
    if action.endswith("discard"):
        message["discard_reply"] = refusal.reply
        return Parsed(what=what, queue_id=line.queue_id, message=message, moments=("discarded_at",))
    whole = refusal.stage in _REFUSE_ALL if daemon == "smtpd" else True  # cleanup refuses nothing less
    if not whole and refusal.stage != "RCPT":
        # The command is refused (VRFY, EHLO, an unknown one), not the message that was under way meanwhile.
        return Parsed(what="smtpd.noqueue", refusal=refusal)
    attempt = None
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
    if whole:
        message |= {"reject_stage": refusal.stage, "reject_reply": refusal.reply, "reject_reason": refusal.reason}
    moments = ("rejected_at",) if whole else ()
    return Parsed(what=what, queue_id=line.queue_id, message=message, moments=moments, attempt=attempt)
