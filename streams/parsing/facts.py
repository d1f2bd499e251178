"""What a log line says, as data: the result of parsing, before it meets the other lines of its message."""

from typing import Any, Final

import msgspec

PARSER: Final = 5
"""Version of the parser, written into every row: raised whenever a line is read in another way than before."""


class Attempt(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One delivery attempt for one recipient, or (status ``rejected``) the refusal of one recipient."""

    recipient: str
    status: str
    orig_recipient: str = ""
    dsn: str = ""
    relay: str = ""
    reply: str = ""
    delay: float | None = None
    delays: str | None = None
    connection_use: int | None = None
    tls: str | None = None
    queued_as: str | None = None
    next_queue_id: str | None = None
    stage: str | None = None
    code: int | None = None
    reason: str | None = None


class Refusal(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Mail that was refused, held or discarded before it had a queue id."""

    action: str
    stage: str
    client_name: str | None = None
    client_address: str | None = None
    client_port: int | None = None
    code: int | None = None
    dsn: str | None = None
    reply: str = ""
    reason: str | None = None
    sender: str | None = None
    recipient: str | None = None
    protocol: str | None = None
    helo: str | None = None
    sasl_username: str | None = None


class Session(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """The encryption of one connection: no message is named, it is known by the process, the peer and the time."""

    direction: str
    """``from`` a client, or ``to`` a server."""
    trust: str
    """``anonymous``, ``untrusted``, ``trusted`` or ``verified``; empty in the logs of old versions."""
    reused: bool = False
    ended: bool = False
    """Whether this is the end of an encrypted connection; what encryption it had was said before."""
    peer_name: str | None = None
    peer_address: str | None = None
    peer_port: int | None = None
    protocol: str = ""
    cipher: str = ""


class Child(msgspec.Struct, frozen=True, gc=False):
    """Another message on this host that was made from this one."""

    queue_id: str
    reason: str


class Parsed(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One line, understood (or, with neither a fact nor `ignored`, not)."""

    what: str
    """Name of the format, e.g. ``qmgr.active``; see docs/coverage.md. Empty for an unknown line."""
    queue_id: str | None = None
    origin: int = 0
    """`schemas.deliveries.ORIGIN_SURE` or ORIGIN_CLEANUP where the line begins a message."""
    message: dict[str, Any] | None = None
    """Fields of `schemas.deliveries.DeliveryFrom` that the line tells."""
    moments: tuple[str, ...] = ()
    """Fields of DeliveryFrom whose value is the time of the line."""
    attempt: Attempt | None = None
    refusal: Refusal | None = None
    session: Session | None = None
    child: Child | None = None
    ignored: str | None = None
    """Why the line bears on no message's fate: a class such as ``connection`` or ``tls``."""
