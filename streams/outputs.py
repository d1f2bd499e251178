"""What a partition will write with its next checkpoint: rows for the output topics, records for the changelog."""

import msgspec

from schemas.dead_letters import DeadLetter, letter_key
from schemas.deliveries import (
    ORIGIN_SURE,
    ORIGIN_UNSEEN,
    DeliveryFrom,
    Rejection,
    delivery_key,
    encode_record,
    message_key,
    rejection_key,
)
from schemas.keys import partition_of
from schemas.timestamps import to_text
from schemas.tls_sessions import TlsSession, tls_session_key
from schemas.topics import Topics
from streams.changelog import store
from streams.messages import DeliveryKey, Message
from streams.parsing import PARSER, Child
from streams.queue_ids import arrival_of


class Write(msgspec.Struct, frozen=True, gc=False):
    """One Kafka record to produce."""

    topic: str
    key: bytes
    value: bytes | None
    partition: int | None
    """None: the partition whose state this is."""


class Outputs:
    """Collects the writes of one checkpoint, in order."""

    def __init__(self, topics: Topics) -> None:
        """Write to *topics*."""
        self._topics = topics
        self._from = topics.delivery_from.name
        self._to = topics.delivery_to.name
        self._changelog = topics.changelog.name
        self._writes: list[Write] = []

    def take(self) -> list[Write]:
        """Return what was collected, and begin anew."""
        writes, self._writes = self._writes, []
        return writes

    def write_message(self, message: Message) -> None:
        """Write the message's row and those of its recipients that changed."""
        row = message.row
        self.withdraw_moved(message)
        if message.changed:
            self._writes.append(Write(self._from, message_key(row), encode_record(row), None))
            message.changed = False
        for key in message.touched:
            self.write_delivery(message, key)
        message.touched.clear()
        message.written_as = row.arrived_at if row.origin != ORIGIN_SURE else None
        for arrived_at, origin in message.left_behind:  # after the message's own, so that a sink finds what they join
            part = DeliveryFrom(
                host=row.host, queue_id=row.queue_id, arrived_at=arrived_at, origin=origin, parser=row.parser
            )
            self._writes.append(Write(self._from, message_key(part), encode_record(part), None))
        message.left_behind = ()

    def withdraw_moved(self, message: Message) -> None:
        """Take back the rows of a message whose arrival is known better by now, before a recipient is gone."""
        if message.written_as is not None and message.written_as != message.row.arrived_at:
            self._withdraw(message, message.written_as)
            message.written_as = None

    def write_delivery(self, message: Message, key: DeliveryKey) -> None:
        """Write the row of one recipient."""
        delivery = message.deliveries[key]
        delivery.arrived_at = message.row.arrived_at
        delivery.origin = message.row.origin
        self._writes.append(Write(self._to, delivery_key(delivery), encode_record(delivery), None))

    def write_child(self, message: Message, child: Child, at: int) -> None:
        """Write what a message says of one that was made from it, which may live in another partition.

        The key holds the parent, so that in the compacted topic the record does not replace the child's own.
        """
        arrived = arrival_of(child.queue_id)
        row = DeliveryFrom(
            host=message.row.host,
            queue_id=child.queue_id,
            arrived_at=to_text(at if arrived is None else arrived),
            origin=ORIGIN_UNSEEN if arrived is None else ORIGIN_SURE,
            parser=PARSER,
            parent_queue_id=message.row.queue_id,
            parent_reason=child.reason,
        )
        partition = partition_of(f"{row.host}/{row.queue_id}".encode(), self._topics.delivery_from.partitions)
        key = encode_record((row.host, row.queue_id, row.arrived_at, row.parent_queue_id))
        self._writes.append(Write(self._from, key, encode_record(row), partition))

    def write_rejection(self, rejection: Rejection) -> None:
        """Write a rejection that had no queue id."""
        self._writes.append(Write(self._topics.noqueue.name, rejection_key(rejection), encode_record(rejection), None))

    def write_session(self, session: TlsSession) -> None:
        """Write the encryption of a connection."""
        name = self._topics.tls_session.name
        self._writes.append(Write(name, tls_session_key(session), encode_record(session), None))

    def write_dead_letter(self, letter: DeadLetter) -> None:
        """Write a record that could not be used."""
        self._writes.append(Write(self._topics.dead_letter.name, letter_key(letter), encode_record(letter), 0))

    def store(self, message: Message) -> None:
        """Write an unfinished message to the changelog."""
        for key, value in store(message):
            self._writes.append(Write(self._changelog, key, value, None))

    def forget(self, message: Message) -> None:
        """Take a message out of the changelog, if it is there."""
        for key in message.stored:
            self._writes.append(Write(self._changelog, key, None, None))
        message.stored = []

    def retract(self, message: Message) -> None:
        """Take back the rows of a message that turned out to be part of another."""
        if message.written_as is not None:
            self._withdraw(message, message.written_as)

    def _withdraw(self, message: Message, written_as: str) -> None:
        """Take back the rows written under an earlier guess of the message's arrival, now that it is known better."""
        row = message.row
        name = (row.host, row.queue_id, written_as)
        self._writes.append(Write(self._from, encode_record(name), None, None))
        for recipient, orig_recipient in message.deliveries:
            self._writes.append(Write(self._to, encode_record((*name, recipient, orig_recipient)), None, None))
        message.changed = True
        message.touched.update(dict.fromkeys(message.deliveries))
