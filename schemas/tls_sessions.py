"""The encryption of a connection, as the log tells it: without a queue id.

A message's connection is found by host, process, peer and time, in the database: the lines of a session go by their
process to a partition, those of a message by its queue id to another one.
"""

from typing import Final

import msgspec

from schemas.deliveries import VERSION, encode_record
from schemas.errors import UNREADABLE, BadRecordError


class TlsSession(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True, gc=False):
    """Value of ``postfix.tls-session``. Never changes."""

    version: int = VERSION
    host: str
    at: str
    digest: str
    """Names the line: 16 hexadecimal digits of BLAKE2b over process, text and number. Key: host, at, digest."""
    parser: int = 0
    """Version of the parser that read the line: of two readings of one line, the newer one counts."""
    service: str
    """``smtpd``, ``submission/smtpd``, ``smtp``, ``relay/smtp``, …"""
    instance: str
    pid: int
    direction: str
    """``from`` a client, or ``to`` a server."""
    trust: str
    """In the peer's certificate: ``anonymous`` (it gave none), ``untrusted``, ``trusted``, ``verified``; empty where
    an old version did not say."""
    reused: bool
    """Whether the connection was there already, and served another delivery."""
    ended: bool = False
    """Whether this is the end of an encrypted connection from a client: trust, protocol and cipher are empty then."""
    peer_name: str | None = None
    peer_address: str | None = None
    peer_port: int | None = None
    protocol: str
    """``TLSv1.3``, …"""
    cipher: str


_decode: Final = msgspec.json.Decoder(TlsSession).decode


def tls_session_key(record: TlsSession) -> bytes:
    """Return the Kafka key: the JSON array ``[host, at, digest]``."""
    return encode_record((record.host, record.at, record.digest))


def decode_tls_session(value: bytes) -> TlsSession:
    """Read a value of ``postfix.tls-session``. Raises BadRecordError."""
    try:
        record = _decode(value)
    except UNREADABLE as error:
        raise BadRecordError(f"not a tls-session record: {error}") from error
    if record.version > VERSION:
        raise BadRecordError(f"record version {record.version} is newer than {VERSION}: upgrade this stage")
    return record
