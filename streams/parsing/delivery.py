"""Delivery records, the same from every agent (``src/global/log_adhoc.c``), and what else the agents log.

Agents: smtp, lmtp, relay, local, virtual, pipe, error, retry, discard; qmgr and cleanup log such records too.
"""

import re

from streams.parsing.facts import Attempt, Child, Parsed
from streams.parsing.formats import Family, Format, Line, fact, quiet
from streams.parsing.tokens import ADDRESS, MAX_ADDRESS, MAX_TEXT, address, queued_as

_forwarded_as = re.compile(r"forwarded as ([0-9A-Za-z]{6,32})$").match


def _attempt(found: re.Match[str], line: Line) -> Parsed:
    to, orig_to, relay, connection_use, delay, delays, tls, dsn, status, reply = found.groups()
    reply = (reply or "")[:MAX_TEXT]
    reply = reply.removesuffix(")")  # the end of the record; a cut line has none
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
            delay=_seconds(delay),
            delays=delays,
            connection_use=int(connection_use) if connection_use else None,
            tls=tls,
            queued_as=queued_as(reply) if status == "sent" else None,
            next_queue_id=forward[1] if forward else None,
        ),
        child=Child(forward[1], "forwarded") if forward else None,
    )


def _seconds(text: str) -> float | None:
    try:
        return min(float(text), 1e9)
    except ValueError:
        return None


DELIVERY = fact(
    "delivery",
    "to=<",
    rf"{ADDRESS}>(?:, orig_to=<{ADDRESS}>)?, relay=(.*?)(?:, conn_use=(\d{{1,9}}))?, delay=([\d.]++)"
    r"(?:, delays=([\d./]++))?(?:, tls=([^, ]++))?(?:, dsn=([\d.]++))?, status=([\w-]++)(?: \((.*+))?",
    _attempt,
)
"""``to=<a>[, orig_to=<b>], relay=R[, conn_use=N], delay=d, delays=a/b/c/d[, tls=F], dsn=x.y.z, status=S (reason)``."""


def _bounce_failed(_: re.Match[str], line: Line) -> Parsed:
    return Parsed(what="delivery.bounce-failed", queue_id=line.queue_id, ignored="bounce-failed")


BOUNCE_FAILED = fact("delivery.bounce-failed", "status=", r"deferred \(bounce failed\)", _bounce_failed)
"""No recipient in it: the recipients' own records stand (``src/global/bounce.c``, ``defer.c``)."""

_TLS = quiet(
    "tls",
    "Anonymous TLS connection ",
    "Untrusted TLS connection ",
    "Trusted TLS connection ",
    "Verified TLS connection ",
    "SSL_connect error ",
    "TLS library problem",
    "setting up TLS connection ",
    "Server certificate ",
    "server certificate ",
    "certificate verification failed",
    "Cannot start TLS",
    "TLSA lookup ",
)

_CONNECTION = quiet(
    "attempt",
    "connect to ",
    "host ",
    "lost connection with ",
    "conversation with ",
    "enabling PIX",
    "disabling ",
    "passing ",
    "deferring ",
    "Host or domain name not found",
    "no MX host for ",
    "unable to look up ",
    "mail for ",
    "SASL authentication ",
    "numeric domain name in ",
    "malformed domain name in ",
    "address length exceeded",
    "wrong reply",
    "Using ",
    "Protocol error",
    "offered null AUTH",
    "valid_hostname: ",
)

_LOCAL = quiet(
    "agent",
    "required ",
    "alias ",
    "dict_",
    "database ",
    "unable to create lock file ",
    "cannot ",
    "open ",
    "file ",
    "mailbox ",
    "biff_notify",
    "premature end-of-input",
    "maildir ",
    "create ",
    "transport ",
)

SMTP = Family(queued=(DELIVERY, BOUNCE_FAILED, *_CONNECTION, *_TLS), bare=(*_CONNECTION, *_TLS, *_LOCAL))
LOCAL = Family(queued=(DELIVERY, BOUNCE_FAILED, *_LOCAL), bare=_LOCAL)

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

DELIVERIES: tuple[Format, ...] = (DELIVERY, BOUNCE_FAILED)
