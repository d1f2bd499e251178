"""What one transaction writes: the records of a while, versions of one row merged already."""

import msgspec

from schemas.deliveries import (
    DeliveryFrom,
    DeliveryTo,
    Rejection,
    decode_delivery_from,
    decode_delivery_to,
    decode_rejection,
)
from schemas.errors import BadRecordError
from schemas.merging import merge_deliveries, merge_messages, normalise_delivery
from schemas.timestamps import to_microseconds
from schemas.topics import Topics

MessageKey = tuple[str, str, str]
"""Host, queue id, time of arrival."""


class Batch(msgspec.Struct):
    """Rows by key, and the keys of messages whose rows were withdrawn."""

    messages: dict[MessageKey, DeliveryFrom] = {}
    deliveries: dict[tuple[str, ...], DeliveryTo] = {}
    rejections: dict[tuple[str, str, str], Rejection] = {}
    withdrawn: dict[MessageKey, None] = {}

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.messages) + len(self.deliveries) + len(self.rejections)

    def days(self) -> set[str]:
        """Return the days of its rows, as ``2026-11-23``."""
        days = {key[2][:10] for key in self.messages} | {key[2][:10] for key in self.deliveries}
        return days | {rejection.at[:10] for rejection in self.rejections.values()}

    def add(self, topics: Topics, topic: str, key: bytes | None, value: bytes | None) -> None:
        """Take in one record of *topic*. Raises BadRecordError."""
        if value is None:
            self._withdraw(key or b"", whole=topic == topics.delivery_from.name)
        elif topic == topics.delivery_to.name:
            self._add_delivery(decode_delivery_to(value))
        elif topic == topics.delivery_from.name:
            self._add_message(decode_delivery_from(value))
        else:
            rejection = decode_rejection(value)
            _check_time(rejection.at)
            self.rejections[rejection.at, rejection.host, rejection.digest] = rejection

    def _add_message(self, row: DeliveryFrom) -> None:
        _check_time(row.arrived_at)
        key = (row.host, row.queue_id, row.arrived_at)
        known = self.messages.get(key)
        if known is None:
            self.messages[key] = row
        else:
            merge_messages(known, row)

    def _add_delivery(self, row: DeliveryTo) -> None:
        _check_time(row.arrived_at)
        key = (row.host, row.queue_id, row.arrived_at, row.recipient, row.orig_recipient)
        known = self.deliveries.get(key)
        if known is None:
            normalise_delivery(row)
            self.deliveries[key] = row
        else:
            merge_deliveries(known, row)

    def _withdraw(self, key: bytes, *, whole: bool) -> None:
        """Take back what was written under an earlier guess of an arrival: it comes again under a better one."""
        try:
            parts = msgspec.json.decode(key, type=tuple[str, ...])
            host, queue_id, arrived_at = parts[:3]
            _check_time(arrived_at)
        except (msgspec.DecodeError, ValueError) as error:
            raise BadRecordError(f"a tombstone's key is not that of a row: {error}") from error
        message = (host, queue_id, arrived_at)
        self.withdrawn[message] = None
        if whole:
            self.messages.pop(message, None)
        else:
            self.deliveries.pop(parts, None)


def _check_time(text: str) -> None:
    try:
        to_microseconds(text)
    except ValueError as error:
        raise BadRecordError(f"not a time: {error}") from error
