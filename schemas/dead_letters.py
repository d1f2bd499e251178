"""What could not be used and why: ``postfix.dead-letter``, JSON. Kept so that a person can look and feed it again.

A stage that is killed may write a letter twice: letters of one key are one, but for those of producers, whose key is
the source. A record without a value says that the letter of its key was retried, and stored.
"""

from typing import Final

import msgspec

from schemas.errors import BadRecordError

VERSION: Final = 1
MAX_VALUE: Final = 256 * 1024
"""Bytes of the refused record that a dead letter keeps."""


class DeadLetter(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Value of ``postfix.dead-letter``."""

    version: int = VERSION
    at: str
    """When it was written: RFC 3339, UTC."""
    stage: str
    """``producer``, ``stream`` or ``sink``."""
    reason: str
    topic: str | None = None
    partition: int | None = None
    offset: int | None = None
    """Where the refused record stands, for ``stream`` and ``sink``."""
    source: str | None = None
    """The producer's source, and the line's byte offset in it (`offset`)."""
    key: bytes | None = None
    value: bytes = b""
    """The record or line, cut to MAX_VALUE; base64 in JSON, like `key`."""
    length: int = 0
    """Its whole length in bytes."""


def letter_key(letter: DeadLetter) -> bytes:
    """Return the Kafka key: what names the refused record, ``topic/partition/offset``; a producer's: its source."""
    if letter.topic is None:
        return (letter.source or "").encode()
    return f"{letter.topic}/{letter.partition}/{letter.offset}".encode()


_decode = msgspec.json.Decoder(DeadLetter).decode


def decode_dead_letter(value: bytes) -> DeadLetter:
    """Read a value of ``postfix.dead-letter``. Raises BadRecordError."""
    try:
        return _decode(value)
    except msgspec.DecodeError as error:
        raise BadRecordError(f"not a dead letter: {error}") from error
