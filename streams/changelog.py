"""How unfinished messages stand in the table's changelog: MessagePack, in pieces that stay small.

A message is one record, or several where it has many recipients that are not done: the first holds the message and the
first recipients, the others a piece of the recipients each. No value comes near the limit of a topic.
"""

from collections.abc import Iterable, Iterator

import msgspec

from schemas.deliveries import DeliveryFrom, DeliveryTo
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


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(StoredMessage).decode


def record_key(message: Message, number: int) -> bytes:
    """Return the key of a message's record *number*."""
    row = message.row
    return f"{row.host}/{row.queue_id}/{message.arrived}/{number}".encode()


def store(message: Message) -> Iterator[tuple[bytes, bytes | None]]:
    """Yield what must be written so that the changelog has the message as it is now: records, and tombstones."""
    before, message.stored = message.stored, []
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


def load(records: Iterable[tuple[bytes, bytes]]) -> Iterator[Message]:
    """Yield the messages that *records* hold, keys and values as `store` gave them."""
    pieces: dict[bytes, list[tuple[bytes, list[DeliveryTo]]]] = {}
    messages: dict[bytes, Message] = {}
    for key, value in records:
        stored = _decode(value)
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
        message = messages[name]
        for key, deliveries in sorted(more, key=lambda record: int(record[0].rpartition(b"/")[2])):
            message.stored.append(key)
            for delivery in deliveries:
                message.deliveries[delivery.recipient, delivery.orig_recipient] = delivery
    yield from messages.values()
