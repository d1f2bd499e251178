"""What the stream stage writes: one record per message, one per message and recipient. JSON, compacted by key.

A message is ``(host, queue_id, arrived_at)``: queue ids are reused, so the id alone names only a slot. Records of one
key are versions of one row; they merge (`schemas.merging`), whatever their order. Absent fields are unknown yet.
"""

from typing import Final, TypeVar

import msgspec

from schemas.errors import UNREADABLE, BadRecordError

VERSION: Final = 1

# How sure `arrived_at` is. A message without a sure origin may turn out to be part of another one in its slot.
ORIGIN_UNSEEN: Final = 0
"""Only later lines were seen: `arrived_at` is the time of the first of them."""
ORIGIN_CLEANUP: Final = 1
"""cleanup's message-id line: the origin of bounces and forwards, a moment late for other mail."""
ORIGIN_SURE: Final = 2
"""smtpd's or qmqpd's ``client=``, pickup's ``uid=``, or a long queue id, which carries its time."""


class DeliveryFrom(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """Value of ``postfix.delivery-from``: a message as it arrived, and what became of it as a whole.

    Times are RFC 3339, UTC, six digits (`schemas.timestamps`).
    """

    version: int = VERSION
    host: str
    queue_id: str
    arrived_at: str
    origin: int = ORIGIN_UNSEEN
    parser: int = 0
    """Version of the newest parser that read a line of the message."""
    older: str | None = None
    """Fields whose value an older parser read, each with its version: ``client_name:1 sender:2``; none: all are of
    `parser`. Only of fields that a newer reading replaces (`schemas.merging.READ_FIELDS`)."""
    sender: str | None = None
    """Envelope sender; empty for the null sender ``<>``. As Postfix has rewritten it, from `queued_at` on."""
    size: int | None = None
    """Bytes, as the queue manager counts them."""
    recipient_count: int | None = None
    message_id: str | None = None
    """Value of the Message-ID header as logged, without the enclosing ``<>``; empty where there is none."""
    resent_message_id: str | None = None
    client_name: str | None = None
    client_address: str | None = None
    client_port: int | None = None
    sasl_method: str | None = None
    sasl_username: str | None = None
    sasl_sender: str | None = None
    uid: int | None = None
    """User id of a local submission (pickup)."""
    service: str | None = None
    """The service that took the message, without the instance's name: ``smtpd``, ``submission/smtpd``, ``pickup``."""
    instance: str | None = None
    """``syslog_name`` of the Postfix instance, e.g. ``postfix``."""
    pid: int | None = None
    """Process id of the service: a NOQUEUE hold or discard of the same session is known by it."""
    helo: str | None = None
    protocol: str | None = None
    orig_queue_id: str | None = None
    """Queue id before this one: of a before-queue hop (XFORWARD) or of the message before it was requeued."""
    orig_client: str | None = None
    parent_queue_id: str | None = None
    """The message on the same host that this one was made from: bounced, notified about, forwarded."""
    parent_reason: str | None = None
    """Why: e.g. ``sender non-delivery notification``, ``forwarded``."""
    queued_at: str | None = None
    """First time in the active queue."""
    attempted_at: str | None = None
    """First attempt to deliver it, or first refusal of a recipient: it has rows of recipients since."""
    removed_at: str | None = None
    """Removed by the queue manager: finished."""
    expired_at: str | None = None
    deleted_at: str | None = None
    """Removed by an administrator (postsuper -d)."""
    held_at: str | None = None
    released_at: str | None = None
    requeued_at: str | None = None
    cancelled_at: str | None = None
    """Removed by cleanup: the transaction was given up (Postfix 3.10 and later log it)."""
    discarded_at: str | None = None
    discard_reply: str | None = None
    subject: str | None = None
    """Of the Subject header, where a header check logs it and ``stream.keep_subject`` is on."""
    verp_id: str | None = None
    """What stands behind ``stream.verp_marker`` in the sender's local part: which recipient or mailing it was for."""
    rejected_at: str | None = None
    """Refused as a whole, e.g. for its content or by a milter at the end of the data."""
    reject_stage: str | None = None
    reject_reply: str | None = None
    reject_reason: str | None = None
    """Why, as one of a few words (`streams.parsing.reasons`)."""


class DeliveryTo(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """Value of ``postfix.delivery-to``: a message for one recipient.

    The fields from `last_attempt_at` to `pid` are those of the latest attempt and change together.
    """

    version: int = VERSION
    host: str
    queue_id: str
    arrived_at: str
    origin: int = ORIGIN_UNSEEN
    recipient: str
    orig_recipient: str = ""
    """The recipient before alias expansion, where it differs."""

    last_attempt_at: str
    status: str
    """As logged (``sent``, ``deferred``, ``bounced``, ``deliverable``, …), or ``rejected``."""
    number: int = 0
    """Names the log line among others of its moment: 31 bits of its process id, text and number (`schemas.raw`)."""
    parser: int = 0
    """Version of the parser that read the line: of two readings of one line, the newer one counts."""
    service: str = ""
    """The agent that tried, without the instance's name: ``smtp``, ``relay/smtp``, ``local``; or that rejected."""
    dsn: str = ""
    relay: str = ""
    reply: str = ""
    """What was said: the text in parentheses of a delivery, the response of a rejection."""
    delay: float | None = None
    """Seconds since arrival."""
    delays: str | None = None
    """Seconds before the queue manager / in it / setting up the connection / transmitting."""
    connection_use: int | None = None
    """How many deliveries this connection has served, where it was reused."""
    tls: str | None = None
    queued_as: str | None = None
    """The queue id that the next host's reply claims."""
    next_queue_id: str | None = None
    """The queue id on this host to which the mail was forwarded."""
    stage: str | None = None
    """Of a rejection: ``RCPT``, ``END-OF-MESSAGE``, ``header``, …"""
    code: int | None = None
    """SMTP reply code that was given: by the next host, or of a rejection by this one."""
    reason: str | None = None
    """Why it was not delivered, as one of a few words (`streams.parsing.reasons`)."""
    pid: int | None = None
    """Process id of the agent: the encryption of its connection is known by it (`schemas.tls_sessions`)."""

    first_attempt_at: str
    attempts: int = 1
    """Delivery attempts so far; a rejection is none."""
    history: list[str] = []
    """The attempts before the latest, oldest first, one `schemas.merging.attempt_entry` each."""


class Rejection(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True, gc=False):
    """Value of ``postfix.noqueue``: a rejection (or hold, …) of mail that had no queue id yet. Never changes."""

    version: int = VERSION
    host: str
    at: str
    digest: str
    """Names the line: 16 hexadecimal digits of BLAKE2b over process, text and number. Key: host, at, digest."""
    parser: int = 0
    """Version of the parser that read the line: of two readings of one line, the newer one counts."""
    service: str
    """``smtpd``, ``submission/smtpd``, ``postscreen``, …"""
    instance: str
    pid: int
    action: str
    """``reject``, ``reject_warning``, ``warn``, ``hold``, ``milter-reject``, ``proxy-reject``, …"""
    stage: str
    """``CONNECT``, ``HELO``, ``MAIL``, ``RCPT``, ``DATA``, ``END-OF-MESSAGE``, …"""
    client_name: str | None = None
    client_address: str | None = None
    client_port: int | None = None
    code: int | None = None
    dsn: str | None = None
    reply: str = ""
    reason: str | None = None
    """Why, as one of a few words (`streams.parsing.reasons`)."""
    sender: str | None = None
    recipient: str | None = None
    protocol: str | None = None
    helo: str | None = None
    sasl_username: str | None = None


_encode = msgspec.json.Encoder().encode
_decode_from = msgspec.json.Decoder(DeliveryFrom).decode
_decode_to = msgspec.json.Decoder(DeliveryTo).decode
_decode_rejection = msgspec.json.Decoder(Rejection).decode

encode_record = _encode

_Record = TypeVar("_Record", DeliveryFrom, DeliveryTo, Rejection)


def message_key(record: DeliveryFrom) -> bytes:
    """Return the Kafka key: the JSON array ``[host, queue_id, arrived_at]``."""
    return _encode((record.host, record.queue_id, record.arrived_at))


def delivery_key(record: DeliveryTo) -> bytes:
    """Return the Kafka key: the JSON array ``[host, queue_id, arrived_at, recipient, orig_recipient]``."""
    return _encode((record.host, record.queue_id, record.arrived_at, record.recipient, record.orig_recipient))


def rejection_key(record: Rejection) -> bytes:
    """Return the Kafka key: the JSON array ``[host, at, digest]``."""
    return _encode((record.host, record.at, record.digest))


def decode_delivery_from(value: bytes) -> DeliveryFrom:
    """Read a value of ``postfix.delivery-from``. Raises BadRecordError."""
    try:
        return _checked(_decode_from(value))
    except UNREADABLE as error:
        raise BadRecordError(f"not a delivery-from record: {error}") from error


def decode_delivery_to(value: bytes) -> DeliveryTo:
    """Read a value of ``postfix.delivery-to``. Raises BadRecordError."""
    try:
        return _checked(_decode_to(value))
    except UNREADABLE as error:
        raise BadRecordError(f"not a delivery-to record: {error}") from error


def decode_rejection(value: bytes) -> Rejection:
    """Read a value of ``postfix.noqueue``. Raises BadRecordError."""
    try:
        return _checked(_decode_rejection(value))
    except UNREADABLE as error:
        raise BadRecordError(f"not a noqueue record: {error}") from error


def _checked(record: _Record) -> _Record:
    if record.version > VERSION:
        raise BadRecordError(f"record version {record.version} is newer than {VERSION}: upgrade this stage")
    return record
