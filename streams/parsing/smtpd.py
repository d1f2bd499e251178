"""The SMTP server, under any service name (``src/smtpd/smtpd.c``, ``smtpd_check.c``, ``smtpd_proxy.c``)."""

import re
from typing import Any

from schemas.deliveries import ORIGIN_SURE
from streams.parsing.arrival import taken_by
from streams.parsing.cleanup import TOO_LARGE
from streams.parsing.facts import Parsed
from streams.parsing.formats import Family, Format, Line, fact, quiet
from streams.parsing.refusals import decided, read_refusal
from streams.parsing.tokens import CLIENT, client

_LOGIN = re.compile(r", (sasl_method|sasl_username|sasl_sender|orig_queue_id|orig_client)=")


def _client(found: re.Match[str], line: Line) -> Parsed:
    message: dict[str, Any] = {**client(found[1], found[2], found[3]), **taken_by(line)}
    if found[4]:
        parts = _LOGIN.split(found[4])
        message |= {name: value[:256] for name, value in zip(parts[1::2], parts[2::2], strict=True) if value}
    return Parsed(what="smtpd.client", queue_id=line.queue_id, origin=ORIGIN_SURE, message=message)


def _access(found: re.Match[str], line: Line) -> Parsed:
    return decided("smtpd", found[1], found[2], line)


def refused(what: str, action: str) -> Format:
    """Return the format of ``NOQUEUE: action: …``, a refusal without a queue id."""
    return fact(what, f"{action}: ", r"(.*+)", lambda found, _: _noqueue(what, action, found[1]))


def _noqueue(what: str, action: str, text: str) -> Parsed:
    refusal = read_refusal(action, text)
    return Parsed(what=what if refusal else "", refusal=refusal)


_GOES_ON = quiet(
    "access-action", "warn: ", "filter: ", "info: ", "permit: ", "redirect: ", "bcc: ", "delay: ", "prepend: ",
    "reject_warning: ", "proxy-accept: ",
)  # fmt: skip

_SESSION = quiet(
    "connection",
    "connect from ",
    "disconnect from ",
    "lost connection after ",
    "timeout after ",
    "too many errors after ",
    "improper command pipelining after ",
    "abort: TLS from ",
    "SSL_accept error from ",
    "hostname ",
    "Connection rate limit ",
    "Connection concurrency limit ",
    "Message delivery request rate limit ",
    "Recipient address rate limit ",
    "New TLS session rate limit ",
    "AUTH command rate limit ",
    "Illegal address syntax from ",
    "non-SMTP command from ",
    "disconnected",
    "queue file size limit exceeded",
    "numeric ",
    "address syntax",
    "connect to ",
    "milter ",
    "problem talking to ",
    "access table ",
    "dict_",
    "restriction ",
    "database ",
    "unknown ",
    "network_biopair_interop",
    "read timeout",
    "TLS library problem",
    "bare <LF>",
    "refreshing the TLS session ",
    "run-time library vs.",
    "reject: bare ",
    "not owned by ",
    "SASL ",
    "xsasl_",
    "initializing the server-side TLS engine",
    "setting up TLS connection ",
    "Anonymous TLS connection ",
    "Untrusted TLS connection ",
    "Trusted TLS connection ",
    "Verified TLS connection ",
    "certificate verification failed",
    "warning: ",
)


def _about_client(found: re.Match[str], line: Line) -> Parsed:
    ignored = "login-failed" if line.text.startswith("SASL ", found.end()) else "connection"
    return Parsed(what="smtpd.client-warning", queue_id=line.queue_id, ignored=ignored)


_CLIENT_WARNING = Format("smtpd.client-warning", "", re.compile(rf"{CLIENT}: ").match, _about_client)
"""``n[ip]: SASL LOGIN authentication failed: …`` and other warnings about a client."""


SMTPD = Family(
    queued=(
        fact("smtpd.client", "client=", rf"{CLIENT}(, .*+)?", _client),
        fact("smtpd.access", "", r"(reject|milter-reject|hold|discard): (.*+)", _access),
        TOO_LARGE,
        *_GOES_ON,
        *_SESSION,
    ),
    noqueue=(
        refused("smtpd.noqueue", "reject"),
        refused("smtpd.noqueue", "milter-reject"),
        refused("smtpd.noqueue", "proxy-reject"),
        refused("smtpd.noqueue", "reject_warning"),
        refused("smtpd.noqueue-hold", "hold"),
        refused("smtpd.noqueue-hold", "milter-hold"),
        refused("smtpd.noqueue-discard", "discard"),
        refused("smtpd.noqueue-discard", "milter-discard"),
        refused("smtpd.noqueue", "hangup"),
        *quiet("proxy", "client="),
        *_GOES_ON,
        *_SESSION,
    ),
    bare=(*_SESSION, _CLIENT_WARNING),
)
