"""cleanup: message ids, header and body checks, milters (``src/cleanup/cleanup_message.c``, ``cleanup_milter.c``)."""

import re
from typing import Final

from schemas.deliveries import ORIGIN_CLEANUP
from streams.parsing.delivery import DELIVERIES
from streams.parsing.facts import Attempt, Parsed
from streams.parsing.formats import Family, Line, fact, quiet
from streams.parsing.refusals import Envelope, decided, read_envelope
from streams.parsing.tokens import MAX_TEXT, bare_id, response

_PLACE: Final = "header|body|mime-header|nested-header|mime-error"

_CONTENT_ENDS_BEFORE: Final = 700
"""A check's line holds at most 200 characters of content and the client's name before its fields."""


def _message_id(found: re.Match[str], line: Line) -> Parsed:
    return Parsed(
        what="cleanup.message-id",
        queue_id=line.queue_id,
        origin=ORIGIN_CLEANUP,
        message={"message_id": bare_id(found[1])},
    )


def _resent_message_id(found: re.Match[str], line: Line) -> Parsed:
    return Parsed(
        what="cleanup.resent-message-id",
        queue_id=line.queue_id,
        origin=ORIGIN_CLEANUP,
        message={"resent_message_id": bare_id(found[1])},
    )


def _check_envelope(text: str) -> Envelope | None:
    """Return the fields behind a check's content.

    The content is the sender's and the text behind the fields the administrator's: both may hold some. The place with
    most fields counts, of two the last.
    """
    best, most = None, 0
    end = _CONTENT_ENDS_BEFORE
    while (at := text.rfind("; ", 0, end)) >= 0:
        envelope = read_envelope(text[at + 2 :])
        if envelope is not None and (fields := 4 - envelope[:4].count(None)) > most:
            best, most = envelope, fields
        end = at
    return best


def _check(found: re.Match[str], line: Line) -> Parsed:
    action, place, content = found.groups()
    envelope = _check_envelope(content)
    message = envelope.message() if envelope else {}
    reply = (envelope.rest if envelope else content)[:MAX_TEXT]
    attempt = None
    if action == "hold":
        moment = "held_at"
    elif action == "discard":
        moment = "discarded_at"
        message["discard_reply"] = reply
    else:
        moment = "rejected_at"
        message |= {"reject_stage": place, "reject_reply": reply}
        if envelope is not None and envelope.recipient is not None:
            dsn = response(reply)[1] or ""
            attempt = Attempt(recipient=envelope.recipient, status="rejected", dsn=dsn, reply=reply, stage=place)
    what = f"cleanup.{action}"
    return Parsed(what=what, queue_id=line.queue_id, message=message, moments=(moment,), attempt=attempt)


def _milter(found: re.Match[str], line: Line) -> Parsed:
    return decided("cleanup", found[1], found[2], line)


def _too_large(_: re.Match[str], line: Line) -> Parsed:
    message = {"reject_stage": "END-OF-MESSAGE", "reject_reply": line.text[:MAX_TEXT]}
    return Parsed(what="cleanup.too-large", queue_id=line.queue_id, message=message, moments=("rejected_at",))


TOO_LARGE = fact("cleanup.too-large", "queue file size limit exceeded", "", _too_large)
"""Logged by whoever writes the message: cleanup, or smtpd."""


def _removed(found: re.Match[str], line: Line) -> Parsed:
    moment = "cancelled_at" if found[1] == "canceled" else "discarded_at"
    return Parsed(what="cleanup.removed", queue_id=line.queue_id, moments=(moment,))


CLEANUP = Family(
    queued=(
        fact("cleanup.message-id", "message-id=", r"(.*+)", _message_id),
        *quiet("content-check", "info: ", "warning: ", "filter: ", "pass: ", "prepend: ", "replace: ", "redirect: "),
        *quiet("content-check", "bcc: ", "strip: ", "delay: ", "milter-header-", "milter-body-"),
        fact("cleanup.check", "", rf"(reject|hold|discard): ({_PLACE})\b(.*+)", _check),
        fact("cleanup.resent-message-id", "resent-message-id=", r"(.*+)", _resent_message_id),
        fact("cleanup.milter", "", r"(milter-reject|milter-hold|milter-discard): (.*+)", _milter),
        fact("cleanup.removed", "removed (", r"(canceled|discarded)\)?", _removed),
        TOO_LARGE,
        *DELIVERIES,
        *quiet(
            "cleanup", "message has ", "queue file size limit ", "milter ", "milter-", "unreasonable ", "cannot ",
            "write ", "recipient ", "sender_", "virtual_", "dict_", "table ", "header ", "body ",
        ),
    ),
    noqueue=quiet("content-check", "milter-", "reject: ", "info: ", "warning: "),
    bare=quiet(
        "cleanup", "milter ", "connect to ", "dict_", "table ", "cannot ", "premature end-of-input ", "unexpected ",
        "problem ", "open ", "access table ", "database ", "close ", "can't ", "queue file ", "milter-", "canonical ",
        "virtual_",
    ),
)  # fmt: skip
