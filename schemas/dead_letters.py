"""What could not be used and why: ``postfix.dead-letter``, JSON. Kept so that a person can look and feed it again.

A stage that is killed may write a letter twice: letters of one key are one, but for those of producers, whose key is
the source. A record without a value says that the letter of its key was retried, and stored.
"""

from datetime import UTC, datetime
from typing import Final

import msgspec

from schemas.errors import UNREADABLE, BadRecordError

VERSION: Final = 1
MAX_VALUE: Final = 256 * 1024
"""Bytes of the refused record that a dead letter keeps."""
MAX_KEY: Final = 32 * 1024
"""Bytes of its key: with base64, which adds a third to both, a letter stays below what a topic takes."""
_MAX_REASON: Final = 500


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
    """The record or line, cut to MAX_VALUE; base64 in JSON, like `key`, which is cut to MAX_KEY."""
    length: int = 0
    """Its whole length in bytes."""


def letter_of(  # noqa: PLR0917 - what a record of Kafka has
    stage: str, reason: str, topic: str, partition: int, offset: int, key: bytes | None, value: bytes | None
) -> DeadLetter:
    """Return the letter of a record of *topic* that *stage* refuses now, cut so that its topic takes it."""
    value = value or b""
    return DeadLetter(
        at=datetime.now(UTC).isoformat(),
        stage=stage,
        reason=reason[:_MAX_REASON],
        topic=topic,
        partition=partition,
        offset=offset,
        key=None if key is None else key[:MAX_KEY],
        value=value[:MAX_VALUE],
        length=len(value),
    )


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
    except UNREADABLE as error:
        raise BadRecordError(f"not a dead letter: {error}") from error
