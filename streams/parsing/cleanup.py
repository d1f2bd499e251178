"""cleanup: message ids, header and body checks, milters (``src/cleanup/cleanup_message.c``, ``cleanup_milter.c``)."""

import re
from typing import Any

from schemas.deliveries import ORIGIN_CLEANUP
from streams.parsing.delivery import DELIVERIES
from streams.parsing.facts import Attempt, Parsed
from streams.parsing.formats import Family, Line, fact, quiet
from streams.parsing.refusals import Envelope, read_envelope, read_refusal
from streams.parsing.tokens import MAX_TEXT, bare_id, response

_CONTENT_ENDS_BEFORE: int = 700
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
    """Return the fields behind a check's content, which is the sender's and may fake them: the last place counts."""
    end = _CONTENT_ENDS_BEFORE
    while (at := text.rfind("; ", 0, end)) >= 0:
        envelope = read_envelope(text[at + 2 :])
        if envelope is not None and (envelope.sender is not None or envelope.protocol is not None):
            return envelope
        end = at
    return None


def _check_rejected(found: re.Match[str], line: Line) -> Parsed:
    envelope = _check_envelope(found[2])
    reply = (envelope.rest if envelope else found[2])[:MAX_TEXT]
    message: dict[str, Any] = {"reject_stage": found[1], "reject_reply": reply}
    attempt = None
    if envelope is not None:
        message |= {
            name: value
            for name, value in zip(("sender", "protocol", "helo"), (envelope.sender, *envelope[2:4]), strict=True)
            if value is not None
        }
        if envelope.recipient is not None:
            attempt = Attempt(
                recipient=envelope.recipient, status="rejected", dsn=response(reply)[1] or "", reply=reply
            )
    return Parsed(
        what="cleanup.reject", queue_id=line.queue_id, message=message, moments=("rejected_at",), attempt=attempt
    )


def _check_held(_: re.Match[str], line: Line) -> Parsed:
    return Parsed(what="cleanup.hold", queue_id=line.queue_id, moments=("held_at",))


def _check_discarded(found: re.Match[str], line: Line) -> Parsed:
    envelope = _check_envelope(found[2])
    reply = (envelope.rest if envelope else found[2])[:MAX_TEXT]
    return Parsed(
        what="cleanup.discard", queue_id=line.queue_id, message={"discard_reply": reply}, moments=("discarded_at",)
    )


def _milter(found: re.Match[str], line: Line) -> Parsed:
    action = found[1]
    refusal = read_refusal(action, found[2])
    if refusal is None:
        return Parsed(what="", queue_id=line.queue_id)
    message: dict[str, Any] = {}
    for field in ("sender", "protocol", "helo"):
        value = getattr(refusal, field)
        if value is not None:
            message[field] = value
    attempt = None
    if action == "milter-hold":
        moments: tuple[str, ...] = ("held_at",)
    elif action == "milter-discard":
        moments = ("discarded_at",)
        message["discard_reply"] = refusal.reply
    elif refusal.stage == "RCPT" and refusal.recipient is not None:
        moments = ()
    else:
        moments = ("rejected_at",)
        message |= {"reject_stage": refusal.stage, "reject_reply": refusal.reply}
    if action == "milter-reject" and refusal.recipient is not None:
        attempt = Attempt(recipient=refusal.recipient, status="rejected", dsn=refusal.dsn or "", reply=refusal.reply)
    return Parsed(what=f"cleanup.{action}", queue_id=line.queue_id, message=message, moments=moments, attempt=attempt)


def _removed(found: re.Match[str], line: Line) -> Parsed:
    moment = "cancelled_at" if found[1] == "canceled" else "discarded_at"
    return Parsed(what="cleanup.removed", queue_id=line.queue_id, moments=(moment,))


CLEANUP = Family(
    queued=(
        fact("cleanup.message-id", "message-id=", r"(.*+)", _message_id),
        *quiet("content-check", "info: ", "warning: ", "filter: ", "pass: ", "prepend: ", "replace: ", "redirect: "),
        *quiet("content-check", "bcc: ", "strip: ", "delay: ", "milter-header-", "milter-body-"),
        fact("cleanup.reject", "reject: ", r"(header|body|mime-error|nested-header|mime-header)(.*+)", _check_rejected),
        fact("cleanup.hold", "hold: ", r".", _check_held),
        fact("cleanup.discard", "discard: ", r"(header|body|mime-header|nested-header)(.*+)", _check_discarded),
        fact("cleanup.resent-message-id", "resent-message-id=", r"(.*+)", _resent_message_id),
        fact("cleanup.milter", "", r"(milter-reject|milter-hold|milter-discard): (.*+)", _milter),
        fact("cleanup.removed", "removed (", r"(canceled|discarded)\)?", _removed),
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
