"""Delivery records, the same from every agent (``src/global/log_adhoc.c``), and what else the agents log.

Agents: smtp, lmtp, relay, local, virtual, pipe, error, retry, discard; qmgr and cleanup log such records too.
"""

import re
from typing import Final

from streams.parsing.facts import Attempt, Child, Parsed
from streams.parsing.formats import Family, Format, Line, fact, quiet
from streams.parsing.reasons import reason_of
from streams.parsing.tokens import ADDRESS, MAX_ADDRESS, MAX_TEXT, address, queued_as, reply_code

DELIVERED: Final = frozenset({"sent", "deliverable"})
"""Statuses that need no reason."""

_MOST_SECONDS: Final = 1e9

_forwarded_as = re.compile(r"forwarded as ([0-9A-Za-z]{6,32})$").match


def _attempt(found: re.Match[str], line: Line) -> Parsed:
    to, orig_to, relay, connection_use, delay, delays, tls, dsn, status, reply = found.groups()
    reply = (reply or "")[:MAX_TEXT]
    reply = reply.removesuffix(")")  # the end of the record; a cut line has none
    code = reply_code(reply)
    forward = _forwarded_as(reply) if reply.startswith("forwarded as ") else None
    return Parsed(
        what="delivery",
        queue_id=line.queue_id,
        attempt=Attempt(
            recipient=address(to),
            orig_recipient=address(orig_to) if orig_to else "",
            status=status,
            dsn=dsn or "",
            relay=relay[:MAX_ADDRESS],
            reply=reply,
            delay=seconds(delay),
            delays=delays,
            connection_use=int(connection_use) if connection_use else None,
            tls=tls,
            queued_as=queued_as(reply) if status == "sent" else None,
            next_queue_id=forward[1] if forward else None,
            code=code,
            reason=None if status in DELIVERED else reason_of(reply, dsn, code),
        ),
        child=Child(forward[1], "forwarded") if forward else None,
    )


def seconds(text: str) -> float | None:
    """Return a delay; None where the text is no number."""
    try:
        return min(float(text), _MOST_SECONDS)
    except ValueError:
        return None


_REST: Final = (
    r", relay=([^,]*+(?:,(?! conn_use=| delay=)[^,]*+)*)(?:, conn_use=(\d{1,9}))?, delay=([\d.]++)"
    r"(?:, delays=([\d./]++))?(?:, tls=([^, ]++))?"
    r"(?:, dsn=([\d.]++))?, status=(undeliverable(?=-but)|[\w-]++(?= )|(?:sent|deferred|bounced|(?:un)?deliverable)$)"
    r"(?:-but-not-cached)?(?: \((.*+))?"
)
"""A status at the end of the line may be cut: only one that is known counts there. And what a probe finds is the same
whether it is cached (``global/verify.c``) or not."""

DELIVERY = fact(
    "delivery",
    "to=<",
    rf"{ADDRESS}>(?:, orig_to=<{ADDRESS}>)?{_REST}",
    _attempt,
    "ID: to=<a>[, orig_to=<b>], relay=R[, conn_use=N], delay=d, delays=a/b/c/d[, tls=F], dsn=x.y.z, status=S (TEXT)",
    "an attempt for one recipient: status, reply, reason; what was forwarded is linked",
)


_UNBRACKETED = Format(
    "delivery",
    "to=",
    re.compile(rf"to=([^<>, ]++)(?:, orig_to=([^<>, ]++))?{_REST}", re.DOTALL | re.ASCII).match,
    _attempt,
)
"""The same from a log in which somebody replaced the addresses, and their brackets with them."""


def _bounce_failed(_: re.Match[str], line: Line) -> Parsed:
    return Parsed(what="delivery.bounce-failed", queue_id=line.queue_id, ignored="bounce-failed")


BOUNCE_FAILED = fact(
    "delivery.bounce-failed",
    "status=",
    r"deferred \((?:bounce|defer|delay|trace|verp)\b.*+",
    _bounce_failed,
    "ID: status=deferred (bounce failed)",
    "counted: the recipients' own records stand",
)
"""No recipient in it (``src/global/bounce.c``, ``abounce.c``, ``defer.c``)."""

DELIVERIES: tuple[Format, ...] = (DELIVERY, BOUNCE_FAILED, _UNBRACKETED, *quiet("cut", "to=<"))
"""A record that was cut before its status tells nothing."""

_ATTEMPTS = quiet(
    "attempt", "connect to ", "host ", "lost connection with ", "conversation with ", "enabling PIX", "disabling ",
    "passing ", "deferring ", "Host or domain name not found", "no MX host for ", "unable to look up ",
    "Unable to look up ", "mail for ", "SASL authentication ", "numeric ", "malformed ", "address length exceeded",
    "wrong reply", "Using ", "Protocol error", "offered null AUTH", "breaking line ", "bind ", "begin ", "pref ",
    "end ", "Sender requested REQUIRETLS", "SMTPS wrappermode ", "skipping SRV ", "Authentication ", "server ",
    "warning: ", "info: ", "filter: ", "prepend: ", "replace: ", "strip: ", "ignore: ", "bounce: ", "reject: ",
    "mailer loop", "endp_prop=", "enabling ", "Null MX", "Service unavailable", "TLS is required",
    "Server certificate ", "delivery temporarily suspended", "message size ", "Cannot start TLS", "client TLS ",
    "local data error ", "unexpected server message", "SMTPUTF8 is required", "no TLSA records ", "Temporary lookup ",
    "Server configuration error", "network address conversion ", "unable to find ", "Sender requires verified TLS",
)  # fmt: skip
"""What the SMTP client says of an attempt besides its record (``smtp_proto.c``, ``smtp_trouble.c``, …)."""

_AGENT = quiet(
    "agent", "required ", "alias ", "unable to create lock file ", "cannot ", "open ", "file ", "mailbox ", "biff",
    "maildir ", "create ", "transport ", "passing ", "bad ", "not found", "home directory ", "forwarding ", "command ",
    "not sending ", "mail for ", "pref ", "level: ", "path: ", "warning: ", "sender ", "recipient ",
)  # fmt: skip

SMTP = Family(
    "smtp/smtp_*.c, global/log_adhoc.c, global/deliver_pass.c",
    queued=(*DELIVERIES, *_ATTEMPTS),
    bare=_ATTEMPTS,
)
LOCAL = Family("local/, virtual/, pipe/, error/, discard/, global/log_adhoc.c",
               queued=(*DELIVERIES, *_AGENT), bare=_AGENT)  # fmt: skip

AGENTS: dict[str, Family] = {
    "smtp": SMTP,
    "lmtp": SMTP,
    "relay": SMTP,
    "local": LOCAL,
    "virtual": LOCAL,
    "pipe": LOCAL,
    "error": LOCAL,
    "retry": LOCAL,
    "discard": LOCAL,
}
