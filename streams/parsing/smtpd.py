"""The SMTP server, under any service name (``src/smtpd/smtpd.c``, ``smtpd_check.c``, ``smtpd_proxy.c``)."""

import re
from typing import Any

from schemas.deliveries import ORIGIN_SURE
from streams.parsing.arrival import taken_by
from streams.parsing.cleanup import TOO_LARGE, refused_as
from streams.parsing.facts import Parsed
from streams.parsing.formats import Family, Format, Line, fact, quiet
from streams.parsing.refusals import decided, read_refusal
from streams.parsing.sessions import SESSION_ENDED
from streams.parsing.tokens import CLIENT, client

_LOGIN = re.compile(r", (sasl_method|sasl_username|sasl_sender|orig_queue_id|orig_client)=")


def _client(found: re.Match[str], line: Line) -> Parsed:
    message: dict[str, Any] = {**client(found[1], found[2], found[3]), **taken_by(line)}
    if found[4]:
        parts = _LOGIN.split(found[4])
        # In reverse, so that of two the first counts: the name of a login may look like more of them.
        said = list(zip(parts[1::2], parts[2::2], strict=True))[::-1]
        message |= {name: value[:256] for name, value in said if value}
    return Parsed(what="smtpd.client", queue_id=line.queue_id, origin=ORIGIN_SURE, message=message)


def _access(found: re.Match[str], line: Line) -> Parsed:
    return decided("smtpd", found[1], found[2], line)


def refused(what: str, action: str) -> Format:
    """Return the format of ``action: STAGE from …``, a refusal without a queue id."""
    return fact(
        what,
        f"{action}: ",
        r"(.*+)",
        lambda found, _: _noqueue(what, action, found[1]),
        f"NOQUEUE: {action}: STAGE from CLIENT: TEXT; from=<> to=<> proto= helo=<>",
        "a row of `noqueue`",
    )


def _noqueue(what: str, action: str, text: str) -> Parsed:
    refusal = read_refusal(action, text)
    return Parsed(what=what if refusal else "", refusal=refusal)


def _login_failed(_: re.Match[str], line: Line) -> Parsed:
    return Parsed(what="smtpd.login-failed", queue_id=line.queue_id, ignored="login-failed")


_LOGIN_FAILED = Format(
    "smtpd.login-failed",
    "",
    re.compile(rf"{CLIENT}: SASL [\w-]+ authentication ").match,
    _login_failed,
    shown="warning: CLIENT: SASL METHOD authentication failed: TEXT",
    becomes="counted as `login-failed`",
)

_GOES_ON = quiet(
    "access-action", "warn: ", "filter: ", "info: ", "permit: ", "redirect: ", "bcc: ", "delay: ", "prepend: ",
    "reject_warning: ", "proxy-accept: ", "strip: ", "pass: ", "dunno: ",
)  # fmt: skip
"""Actions of access tables after which the mail goes on."""

_SESSION = quiet(
    "connection", "connect from ", "disconnect from ", "lost connection after ", "timeout after ",
    "too many errors after ", "improper command pipelining after ", "abort: TLS from ", "non-SMTP command from ",
    "bare <LF>", "bare LF", "reject: bare ", "read timeout", "disconnected", "unknown ", "Error ", "SASL ",
)  # fmt: skip

_REFUSALS = ("reject", "milter-reject", "proxy-reject", "hangup")
_HOLDS = ("hold", "milter-hold")
_DISCARDS = ("discard", "milter-discard")

SMTPD = Family(
    "smtpd/smtpd.c, smtpd_check.c, smtpd_milter.c, smtpd_proxy.c, smtpd_sasl_glue.c",
    queued=(
        fact(
            "smtpd.client",
            "client=",
            rf"{CLIENT}(, .*+)?",
            _client,
            "ID: client=NAME[ADDRESS][, sasl_method=][, sasl_username=][, sasl_sender=][, orig_queue_id=]…",
            "the message begins: client, login, XFORWARD",
        ),
        fact(
            "smtpd.access",
            "",
            r"(reject|milter-reject|hold|milter-hold|discard|milter-discard|hangup): (.*+)",
            _access,
            "ID: reject|hold|discard|milter-…: STAGE from CLIENT: TEXT; from=<> to=<> proto= helo=<>",
            "the recipient (at RCPT) or the message is rejected, held or discarded; the transaction may go on",
        ),
        TOO_LARGE,
        fact(
            "smtpd.too-large",
            "BDAT request from ",
            rf"{CLIENT} exceeds message size limit",
            refused_as("smtpd.too-large", "too-large"),
            "warning: ID: BDAT request from CLIENT exceeds message size limit",
            "the message is rejected",
        ),
        *_GOES_ON,
        *_SESSION,
    ),
    noqueue=(
        *(refused("smtpd.noqueue", action) for action in (*_REFUSALS, "reject_warning")),
        *(refused("smtpd.noqueue-hold", action) for action in _HOLDS),
        *(refused("smtpd.noqueue-discard", action) for action in _DISCARDS),
        *quiet("proxy", "client="),
        *_GOES_ON,
        *_SESSION,
    ),
    bare=(
        SESSION_ENDED,
        *_SESSION,
        refused("smtpd.proxy", "proxy-reject"),
        refused("smtpd.bare", "reject"),  # of Postfix before 2.0, and of logs that lost the word
        _LOGIN_FAILED,
        *_GOES_ON,
    ),
)
