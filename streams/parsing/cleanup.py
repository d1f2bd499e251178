"""cleanup: message ids, header and body checks, milters (``src/cleanup/cleanup_message.c``, ``cleanup_milter.c``)."""

import re
from typing import Final

from schemas.deliveries import ORIGIN_CLEANUP
from streams.parsing.delivery import DELIVERIES
from streams.parsing.facts import Attempt, Parsed
from streams.parsing.formats import Family, Line, Make, fact, quiet
from streams.parsing.reasons import reason_of
from streams.parsing.refusals import Envelope, decided, places, read_envelope
from streams.parsing.tokens import MAX_TEXT, bare_id, decoded, response

SUBJECT: Final = "cleanup.subject"
"""Name of the format whose facts are kept only on request."""
CONTENT_CHECK: Final = "content-check"

_PLACE: Final = "header|body|mime-header|nested-header|mime-error|content"

_CONTENT_ENDS_BEFORE: Final = 700
"""A check's line holds at most 200 characters of content and the client's name before its fields."""
_LONGEST_ORIGIN: Final = 330
_origin = re.compile(r" from (?:local|unknown|[^\[\] ]*+\[[^\[\] ]*+\](?::\d{1,5})?)$").search


def _message_id(found: re.Match[str], line: Line) -> Parsed:
    return Parsed(
        what="cleanup.message-id",
        queue_id=line.queue_id,
        origin=ORIGIN_CLEANUP,
        message={"message_id": bare_id(found[1])},
    )


def _resent_message_id(found: re.Match[str], line: Line) -> Parsed:
    return Parsed(
        what="cleanup.resent-message-id", queue_id=line.queue_id, message={"resent_message_id": bare_id(found[1])}
    )


def _check_envelope(text: str) -> tuple[str, Envelope | None]:
    """Return the content of a check, with where it came from, and the fields behind it.

    The content is the sender's, and may hold all of that: the last origin with fields behind it is the true one.
    """
    for at in places(text, _CONTENT_ENDS_BEFORE):
        if _origin(text, max(0, at - _LONGEST_ORIGIN), at):
            return text[:at], read_envelope(text[at + 2 :])
    return text, None


def _check(found: re.Match[str], line: Line) -> Parsed:
    action, place, text = found.groups()
    content, envelope = _check_envelope(text)
    message = envelope.message() if envelope else {}
    reply = (envelope.rest if envelope else text)[:MAX_TEXT]
    if place == "mime-error" and not reply:
        reply = content.rpartition(" from ")[0].strip()
    attempt = None
    if action == "hold":
        moment = "held_at"
    elif action == "discard":
        moment = "discarded_at"
        message["discard_reply"] = reply
    else:
        moment = "rejected_at"
        code, dsn = response(reply)
        reason = reason_of(reply, dsn, code) if envelope is not None and reply else "content"
        reason = "content" if reason == "other" else reason
        message |= {"reject_stage": place, "reject_reply": reply, "reject_reason": reason}
        if envelope is not None and envelope.recipient is not None:
            attempt = Attempt(
                recipient=envelope.recipient,
                status="rejected",
                dsn=dsn or "",
                reply=reply,
                stage=place,
                code=code,
                reason=reason,
            )
    what = f"cleanup.{action}"
    return Parsed(what=what, queue_id=line.queue_id, message=message, moments=(moment,), attempt=attempt)


def _subject(found: re.Match[str], line: Line) -> Parsed:
    content, _ = _check_envelope(found[1])
    value, separator, _ = content.rpartition(" from ")
    subject = (value if separator else content).strip()
    return Parsed(what=SUBJECT, queue_id=line.queue_id, message={"subject": decoded(subject)})


def _milter(found: re.Match[str], line: Line) -> Parsed:
    return decided("cleanup", found[1], found[2], line)


def refused_as(what: str, reason: str) -> Make:
    """Return what makes the facts of a line that says, in its own words, that the message is not taken."""

    def facts(_: re.Match[str], line: Line) -> Parsed:
        message = {"reject_stage": "END-OF-MESSAGE", "reject_reply": line.text[:MAX_TEXT], "reject_reason": reason}
        return Parsed(what=what, queue_id=line.queue_id, message=message, moments=("rejected_at",))

    return facts


TOO_LARGE: Final = fact(
    "cleanup.too-large",
    "queue file size limit exceeded",
    "",
    refused_as("cleanup.too-large", "too-large"),
    "warning: ID: queue file size limit exceeded",
    "the message is rejected",
)
"""Logged by whoever writes the message: cleanup, or smtpd."""

_NOT_TAKEN: Final = (
    fact(
        "cleanup.loop",
        "message rejected: hopcount exceeded",
        "",
        refused_as("cleanup.loop", "loop"),
        "warning: ID: message rejected: hopcount exceeded",
        "the message is rejected",
    ),
    fact(
        "cleanup.not-accepted",
        "",
        r".*message not accepted, try again later$",
        refused_as("cleanup.not-accepted", "local-error"),
        "warning: ID: TEXT -- message not accepted, try again later",
        "the message is rejected for now: a table or a milter does not answer, or is wrong",
    ),
    fact(
        "cleanup.not-written",
        "write queue file: ",
        "",
        refused_as("cleanup.not-written", "local-error"),
        "warning: ID: write queue file: TEXT",
        "the message is rejected for now",
    ),
)
"""Nothing else in the log says so: what the client or pickup is answered is not logged."""


def _removed(found: re.Match[str], line: Line) -> Parsed:
    moment = "cancelled_at" if found[1] == "canceled" else "discarded_at"
    return Parsed(what="cleanup.removed", queue_id=line.queue_id, moments=(moment,))


_CHECKS = quiet(
    CONTENT_CHECK, "info: ", "warning: ", "filter: ", "pass: ", "prepend: ", "replace: ", "redirect: ", "bcc: ",
    "strip: ", "delay: ", "ignore: ", "milter-header-", "milter-body-", "milter-mime-header-",
)  # fmt: skip
"""Actions of header, body and milter checks after which the mail goes on."""

CLEANUP = Family(
    "cleanup/cleanup_message.c, cleanup_milter.c, cleanup_api.c, cleanup_bounce.c",
    queued=(
        fact(
            "cleanup.message-id",
            "message-id=",
            r"(.*+)",
            _message_id,
            "ID: message-id=V",
            "the message begins here where nothing else says so: bounces, forwards",
        ),
        fact(
            SUBJECT,
            "",
            r"(?:info|warning): header [Ss][Uu][Bb][Jj][Ee][Cc][Tt]:(.*+)",
            _subject,
            "ID: info|warning: header Subject: TEXT from CLIENT; from=<> to=<> proto= helo=<>",
            "the subject, where `stream.keep_subject` is on; else counted as `content-check`",
        ),
        fact(
            "cleanup.check",
            "",
            rf"(?:milter-(?:mime-)?(?:header|body)-)?(reject|hold|discard): ({_PLACE})\b(.*+)",
            _check,
            "ID: reject|hold|discard: header|body CONTENT from CLIENT; from=<> to=<> proto= helo=<>: TEXT",
            "the message is rejected, held or discarded",
        ),
        *_CHECKS,
        fact(
            "cleanup.resent-message-id",
            "resent-message-id=",
            r"(.*+)",
            _resent_message_id,
            "ID: resent-message-id=V",
            "the Resent-Message-ID",
        ),
        fact(
            "cleanup.milter",
            "",
            r"(milter-reject|milter-hold|milter-discard): (.*+)",
            _milter,
            "ID: milter-reject|-hold|-discard: EVENT from CLIENT: TEXT; from=<> to=<> proto= helo=<>",
            "the recipient or the message is rejected, held or discarded",
        ),
        fact(
            "cleanup.removed",
            "removed (",
            r"(canceled|discarded)\)?",
            _removed,
            "ID: removed (canceled|discarded)",
            "never accepted, or discarded",
        ),
        TOO_LARGE,
        *_NOT_TAKEN,
        *DELIVERIES,
        *quiet(
            "cleanup", "message has ", "queue file size limit ", "milter", "unreasonable ", "cannot ", "write ",
            "recipient ", "sender", "virtual_", "canonical", "table ", "header ", "body ", "hop count ", "removed",
            "reject: ", "closing ", "flags = ", "ignoring",
        ),
    ),
    noqueue=quiet(CONTENT_CHECK, "milter-", "reject: ", "info: ", "warning: "),
    bare=quiet(
        "cleanup", "milter", "table ", "cannot ", "unexpected ", "open ", "access table ", "close ", "can't ",
        "queue file ", "canonical", "virtual_", "append_", "closing ", "enable_", "ignoring", "flags = ", "errs = ",
    ),
)  # fmt: skip
