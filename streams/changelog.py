"""How unfinished messages stand in the table's changelog: MessagePack, in pieces that stay small.

A message is one record, or several where it has many recipients that are not done: the first holds the message and the
first recipients, the others a piece of the recipients each. No value comes near the limit of a topic.

Most messages of a changelog wait for their next attempt, for hours. They rest: a worker that takes over keeps their
records as they are, and reads one when a line of its message comes.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec

from schemas.deliveries import DeliveryFrom, DeliveryTo
from schemas.errors import UNREADABLE, BadRecordError
from streams.messages import Mark, Message

VERSION = 1
MOST_RECIPIENTS = 16
"""Recipients of one record, at most."""
MOST_BYTES = 256 * 1024
"""Bytes of one record, about: half of what a topic takes."""


class StoredMessage(msgspec.Struct, array_like=True, gc=False):
    """Value of a changelog record: a message, or (without `row`) more recipients of one."""

    version: int
    row: DeliveryFrom | None
    arrived: int
    first: int
    mark: Mark | None
    settled: bool
    written_as: str | None
    deliveries: list[DeliveryTo]
    rests: bool = False
    """Whether nothing but another line will change the message. It is the last field: see `rests`."""


Records = list[tuple[bytes, bytes]]
"""Keys and values."""

_BEGINNING: Final = bytes((0x99, VERSION))
_TRUE: Final = 0xC3
"""MessagePack's first bytes of an array of nine, the version before all, and its true."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(StoredMessage).decode


def record_key(message: Message, number: int) -> bytes:
    """Return the key of a message's record *number*."""
    row = message.row
    return f"{row.host}/{row.queue_id}/{message.arrived}/{number}".encode()


def store(message: Message) -> Iterator[tuple[bytes, bytes | None]]:
    """Yield what must be written so that the changelog has the message as it is now: records, and tombstones."""
    before, message.stored = message.stored, []
    rests = message.settled and message.leaves_at() is None
    for number, deliveries in enumerate(_pieces(message.deliveries.values())):
        first = number == 0
        key = record_key(message, number)
        message.stored.append(key)
        stored = StoredMessage(
            VERSION,
            message.row if first else None,
            message.arrived,
            message.first,
            message.mark if first else None,
            message.settled,
            message.written_as,
            deliveries,
            rests,
        )
        yield key, _encode(stored)
    for key in before:
        if key not in message.stored:
            yield key, None


def _pieces(deliveries: Iterable[DeliveryTo]) -> Iterator[list[DeliveryTo]]:
    piece: list[DeliveryTo] = []
    size = 0
    for delivery in deliveries:
        # A character has four bytes at most; 500 stand for the fields that are short.
        weight = 4 * (sum(map(len, delivery.history)) + len(delivery.reply) + 2 * len(delivery.recipient) + 500)
        if piece and (len(piece) == MOST_RECIPIENTS or size + weight > MOST_BYTES):
            yield piece
            piece, size = [], 0
        piece.append(delivery)
        size += weight
    yield piece


def rests(value: bytes) -> bool:
    """Tell of a record's value whether its message rests, without reading it; the records of other versions say no."""
    return value[:2] == _BEGINNING and value[-1] == _TRUE


def by_slot(records: Mapping[bytes, bytes]) -> dict[tuple[bytes, bytes], Records]:
    """Return *records*, keys and values as `store` gave them, by host and queue id. Raises BadRecordError."""
    slots: dict[tuple[bytes, bytes], Records] = {}
    for record in records.items():
        try:
            host, queue_id, arrived, number = record[0].rsplit(b"/", 3)
            int(arrived), int(number)
        except ValueError as error:
            raise BadRecordError(f"{record[0]!r} is no message's key") from error
        known = slots.get((host, queue_id))
        if known is None:
            slots[host, queue_id] = [record]
        else:
            known.append(record)
    return slots


def arrival_in(key: bytes) -> int:
    """Return when the message of a record arrived, in microseconds."""
    return int(key.rsplit(b"/", 2)[1])


def load(records: Iterable[tuple[bytes, bytes]]) -> Iterator[Message]:
    """Yield the messages that *records* hold, keys and values as `store` gave them. Raises BadRecordError."""
    pieces: dict[bytes, list[tuple[bytes, list[DeliveryTo]]]] = {}
    messages: dict[bytes, Message] = {}
    for key, value in records:
        stored = _read(key, value)
        name = key.rpartition(b"/")[0]
        if stored.row is None:
            pieces.setdefault(name, []).append((key, stored.deliveries))
            continue
        messages[name] = Message(
            stored.row,
            stored.arrived,
            stored.first,
            stored.mark,
            {(delivery.recipient, delivery.orig_recipient): delivery for delivery in stored.deliveries},
            settled=stored.settled,
            written_as=stored.written_as,
            stored=[key],
        )
    for name, more in pieces.items():
        message = messages.get(name)
        if message is None:
            raise BadRecordError(f"{more[0][0]!r} is of a message that is not there")
        for key, deliveries in sorted(more, key=lambda record: int(record[0].rpartition(b"/")[2])):
            message.stored.append(key)
            for delivery in deliveries:
                message.deliveries[delivery.recipient, delivery.orig_recipient] = delivery
    yield from messages.values()


def _read(key: bytes, value: bytes) -> StoredMessage:
    try:
        stored = _decode(value)
    except UNREADABLE as error:
        raise BadRecordError(f"{key!r} is no stored message: {error}") from error
    if stored.version > VERSION:
        raise BadRecordError(f"{key!r} has version {stored.version}, which is newer than {VERSION}")
    return stored
