"""What one transaction writes: the records of a while, versions of one row merged already."""

import re
from datetime import date
from functools import lru_cache
from operator import attrgetter
from typing import Final, TypeVar

import msgspec

from schemas.deliveries import (
    ORIGIN_SURE,
    ORIGIN_UNSEEN,
    DeliveryFrom,
    DeliveryTo,
    Rejection,
    decode_delivery_from,
    decode_delivery_to,
    decode_rejection,
)
from schemas.errors import UNREADABLE, BadRecordError
from schemas.keys import SHORT_ID
from schemas.merging import merge_deliveries, merge_messages, normalise_delivery, normalise_message
from schemas.timestamps import to_microseconds, to_text
from schemas.tls_sessions import TlsSession, decode_tls_session
from schemas.topics import Topics

_is_spelled = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{6}Z").fullmatch
_FIRST_DAY: Final = date(1970, 1, 1)
is_short = re.compile(SHORT_ID).fullmatch
_MOMENTS: Final = tuple(field for field in DeliveryFrom.__struct_fields__ if field.endswith("_at"))
_moments_of = attrgetter(*_MOMENTS)

MessageKey = tuple[str, str, str]
"""Host, queue id, time of arrival."""
LineKey = tuple[str, str, str]
"""Time, host, digest: of what is known by its log line alone."""


_Line = TypeVar("_Line", Rejection, TlsSession)


class Batch(msgspec.Struct):
    """Rows by key, and the keys of those that were withdrawn."""

    messages: dict[MessageKey, DeliveryFrom] = {}
    deliveries: dict[tuple[str, ...], DeliveryTo] = {}
    rejections: dict[LineKey, Rejection] = {}
    sessions: dict[LineKey, TlsSession] = {}
    withdrawn: dict[MessageKey, None] = {}
    withdrawn_deliveries: dict[tuple[str, ...], None] = {}

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.messages) + len(self.deliveries) + len(self.rejections) + len(self.sessions)

    def days(self) -> set[str]:
        """Return the days of its rows, as ``2026-11-23``."""
        return set().union(*self.days_by_table().values())

    def days_by_table(self) -> dict[str, set[str]]:
        """Return the days of the rows of each table."""
        return {
            "delivery_from": {key[2][:10] for key in self.messages},
            "delivery_to": {key[2][:10] for key in self.deliveries},
            "noqueue": {key[0][:10] for key in self.rejections},
            "tls_sessions": {key[0][:10] for key in self.sessions},
        }

    def tombstones(self) -> "Batch":
        """Return a batch of what this one withdraws, and no rows."""
        return Batch(withdrawn=self.withdrawn, withdrawn_deliveries=self.withdrawn_deliveries)

    def span(self) -> tuple[str, str]:
        """Return the first and the last arrival of its messages, those withdrawn included."""
        arrivals = [key[2] for key in (*self.messages, *self.deliveries, *self.withdrawn)]
        return min(arrivals), max(arrivals)

    def may_hold_parts(self) -> bool:
        """Tell whether one of its messages may be part of another, or another part of it: no long id ever is."""
        return (
            any(row.origin < ORIGIN_SURE for row in self.deliveries.values())
            or any(row.origin < ORIGIN_SURE for row in self.messages.values())
            or any(is_short(queue_id) for _, queue_id, _ in self.messages)
        )

    def add(self, topics: Topics, topic: str, key: bytes | None, value: bytes | None) -> None:
        """Take in one record of *topic*. Raises BadRecordError."""
        if value is None:
            self._withdraw(key or b"", whole=topic == topics.delivery_from.name)
        elif topic == topics.delivery_to.name:
            self._add_delivery(decode_delivery_to(value))
        elif topic == topics.delivery_from.name:
            self._add_message(decode_delivery_from(value))
        elif topic == topics.tls_session.name:
            _keep(self.sessions, decode_tls_session(value))
        else:
            _keep(self.rejections, decode_rejection(value))

    def _add_message(self, row: DeliveryFrom) -> None:
        for field, text in zip(_MOMENTS, _moments_of(row), strict=True):
            if text is not None and (moment := _moment(text)) is not text:
                setattr(row, field, moment)
        normalise_message(row)
        key = (row.host, row.queue_id, row.arrived_at)
        known = self.messages.get(key)
        if known is None:
            self.messages[key] = row
        else:
            merge_messages(known, row)

    def _add_delivery(self, row: DeliveryTo) -> None:
        row.arrived_at = _moment(row.arrived_at)
        row.last_attempt_at = _moment(row.last_attempt_at)
        row.first_attempt_at = _moment(row.first_attempt_at)
        key = (row.host, row.queue_id, row.arrived_at, row.recipient, row.orig_recipient)
        normalise_delivery(row)
        known = self.deliveries.get(key)
        if known is None:
            self.deliveries[key] = row
        else:
            merge_deliveries(known, row)

    def _withdraw(self, key: bytes, *, whole: bool) -> None:
        """Take back what was written under an earlier guess of an arrival: it comes again under a better one."""
        try:
            parts = msgspec.json.decode(key, type=tuple[str, ...])
            host, queue_id, arrived_at = parts[:3]
            arrived_at = _moment(arrived_at)
        except (*UNREADABLE, BadRecordError) as error:
            raise BadRecordError(f"a tombstone's key is not that of a row: {error}") from error
        message = (host, queue_id, arrived_at)
        if whole:
            self.withdrawn[message] = None
            known = self.messages.get(message)
            if known is not None and known.origin < ORIGIN_SURE:  # another one, of a line of its own, may have the key
                if known.parent_queue_id is None:
                    del self.messages[message]
                else:  # which another message tells, and what takes the guess's place lacks
                    known.origin = ORIGIN_UNSEEN
        else:
            name = (*message, *parts[3:])
            self.withdrawn_deliveries[name] = None
            delivery = self.deliveries.get(name)
            if delivery is not None and delivery.origin < ORIGIN_SURE:
                del self.deliveries[name]


def _keep(lines: dict[LineKey, _Line], record: _Line) -> None:
    """Add what one line says, unless a newer parser has read it."""
    if (at := _moment(record.at)) != record.at:
        record = msgspec.structs.replace(record, at=at)
    name = (record.at, record.host, record.digest)
    known = lines.get(name)
    if known is None or record.parser > known.parser:
        lines[name] = record


@lru_cache(maxsize=8192)  # the fields of a record, and records of one second, share theirs
def _moment(text: str) -> str:
    """Return the time as we spell it: two spellings of one moment must not be two keys."""
    if _is_spelled(text) and _is_day(text[:10]):
        return text
    try:
        return to_text(to_microseconds(text))
    except (ValueError, TypeError, OverflowError) as error:  # a TypeError where it says no time zone
        raise BadRecordError(f"not a time: {text[:40]!r}") from error


@lru_cache(maxsize=1024)
def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text) >= _FIRST_DAY
    except ValueError:
        return False
