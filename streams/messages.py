"""One unfinished message: the rows that its lines have made so far, and how a line changes them."""

import zlib
from collections.abc import Sequence

import msgspec

from schemas.deliveries import ORIGIN_SURE, ORIGIN_UNSEEN, DeliveryFrom, DeliveryTo
from schemas.merging import EARLIEST, SENDER_FIELDS, merge_deliveries, merge_messages, sender_order
from schemas.raw import RawLine
from schemas.timestamps import MICROSECONDS, to_microseconds, to_text
from streams.parsing import PARSER, Attempt, Parsed

TOLERANCE = 5 * MICROSECONDS
"""How far apart the lines of one moment may be logged: pickup, cleanup and bounce overtake each other."""

PENDING = frozenset({"deferred", "SOFTBOUNCE"})
"""Statuses after which Postfix tries again."""

DeliveryKey = tuple[str, str]
"""Recipient and original recipient."""

Mark = tuple[int, int, int, int]
"""Names an origin line: its time, process id, number among identical lines, and CRC-32 of its text."""


def mark_of(line: RawLine, at: int) -> Mark:
    """Return what names an origin line logged *at* a time."""
    return at, line.pid, line.number, zlib.crc32(line.text)


def name_of(line: RawLine) -> int:
    """Return 31 bits that tell a line from others of its moment, and two of the same text by their number."""
    return zlib.crc32(line.text, line.pid + (line.number << 22)) & 0x7FFFFFFF


class Message(msgspec.Struct, gc=False, eq=False):
    """A message and its recipients that are not done. gc=False: it holds no cycle, and there may be millions."""

    row: DeliveryFrom
    arrived: int
    """Microseconds since 1970; the row's `arrived_at` is its text."""
    first: int
    """Time of the first line seen; of a message with a long id, which needs none, of that with which it began here."""
    mark: Mark | None = None
    """The sure origin line: tells two messages of one slot and second apart. None where the queue id says enough."""
    deliveries: dict[DeliveryKey, DeliveryTo] = {}
    settled: bool = False
    """Whether the lines of its beginning have had their time to come; until then nothing of it leaves the state."""
    left: bool = False
    """Whether it has left the state."""
    changed: bool = False
    touched: dict[DeliveryKey, None] = {}
    """Recipients that changed since the last checkpoint (a dict, to keep their order)."""
    written_as: str | None = None
    """The `arrived_at` under which the outputs know it so far."""
    stored: list[bytes] = []
    """Keys of its records in the changelog."""
    left_behind: Sequence[tuple[str, int]] = ()
    """Where rows of it stay, since the last checkpoint: arrivals that it was held to have, and how sure each was."""

    @property
    def end(self) -> str | None:
        """When it left Postfix's queue for good, as text."""
        row = self.row
        return row.removed_at or row.deleted_at or row.cancelled_at or row.requeued_at

    def leaves_at(self) -> int | None:
        """Return the time of its log from which it may leave the state, or None while it is unfinished.

        A message that ended leaves at once, but for these: one whose arrival isn't settled; one whose log tells only
        seconds, within which its id may come again; one that was refused as a whole, since lines may still follow.
        """
        row = self.row
        if self.end is not None:
            due = 0
        elif (refused := row.rejected_at or row.discarded_at) is not None:
            due = to_microseconds(refused) + TOLERANCE
        else:
            return None
        if not self.settled:
            return max(due, self.first + TOLERANCE)
        if self.mark is not None and self.mark[0] % MICROSECONDS == 0:
            return max(due, self.mark[0] + MICROSECONDS)
        return due

    def move_to(self, arrived: int) -> None:
        """Set when it arrived."""
        if arrived != self.arrived:
            if self.settled:
                # Some recipients may be gone from here, and could not come along. So all rows stay where they are: the
                # database joins them to this message, as it does where all of it had left the state.
                self.written_as = None
                self.left_behind = [*self.left_behind, (self.row.arrived_at, self.row.origin)]
            self.arrived = arrived
            self.row.arrived_at = to_text(arrived)
            self.changed = True
            self.touched.update(dict.fromkeys(self.deliveries))

    def add_attempt(self, key: DeliveryKey, delivery: DeliveryTo) -> None:
        """Merge what one line says of a recipient."""
        known = self.deliveries.get(key)
        if known is None:
            self.deliveries[key] = delivery
        else:
            merge_deliveries(known, delivery)
        self.touched[key] = None
        row, at = self.row, delivery.first_attempt_at
        if row.attempted_at is None or at < row.attempted_at:
            row.attempted_at = at
            self.changed = True

    def absorb(self, part: "Message") -> None:
        """Take over all that is known of a part of this message that was held to be another one."""
        merge_messages(self.row, part.row)
        for key, delivery in part.deliveries.items():
            known = self.deliveries.get(key)
            if known is None:
                self.deliveries[key] = delivery
            else:
                merge_deliveries(known, delivery)
        self.first = min(self.first, part.first)
        self.changed = True
        self.touched.update(dict.fromkeys(self.deliveries))

    def raise_origin(self, origin: int) -> None:
        """Note that a surer origin line was seen."""
        if origin > self.row.origin:
            self.row.origin = origin
            self.changed = True
            self.touched.update(dict.fromkeys(self.deliveries))
            if origin == ORIGIN_SURE:
                self.settled = True


def new_message(host: str, queue_id: str, arrived: int, origin: int, first: int) -> Message:
    """Return a message of which nothing is known but its key."""
    row = DeliveryFrom(host=host, queue_id=queue_id, arrived_at=to_text(arrived), origin=origin, parser=PARSER)
    return Message(row, arrived, first, settled=origin == ORIGIN_SURE, changed=True)


def reads_otherwise(row: DeliveryFrom) -> bool:
    """Tell whether another version of the parser has read some of the message."""
    return row.parser != PARSER or row.older is not None


def apply(message: Message, parsed: Parsed, moment: str) -> None:
    """Merge what a line, logged at *moment*, says of its message as a whole.

    Lines may come in any order and any number of times.
    """
    row = message.row
    if reads_otherwise(row):  # it was under way when the stage got another parser
        _apply_reading(message, parsed, moment)
        return
    if parsed.message is not None:
        if "sender" in parsed.message:
            _apply_sender(message, parsed)  # before `queued_at`, which says whose the row's is
        for field, value in parsed.message.items():
            if field in SENDER_FIELDS:
                continue
            ours = getattr(row, field)
            if value is not None and (ours is None or value > ours):
                setattr(row, field, value)
                message.changed = True
    for field in parsed.moments:
        ours = getattr(row, field)
        if ours is None or (moment < ours if field in EARLIEST else moment > ours):
            setattr(row, field, moment)
            message.changed = True


def _apply_sender(message: Message, parsed: Parsed) -> None:
    """Merge the sender that a line tells, as `schemas.merging.merge_messages` does, and the VERP id in it."""
    assert parsed.message is not None
    row = message.row
    sender, verp_id = parsed.message["sender"], parsed.message.get("verp_id")
    if sender_order("queued_at" in parsed.moments, sender, verp_id) > sender_order(
        row.queued_at is not None, row.sender, row.verp_id
    ):
        row.sender, row.verp_id = sender, verp_id
        message.changed = True


def _apply_reading(message: Message, parsed: Parsed, moment: str) -> None:
    """Merge what this parser's reading of a line says into a row with readings of another one."""
    row = message.row
    facts = {**(parsed.message or {}), **dict.fromkeys(parsed.moments, moment)}
    reading = DeliveryFrom(host=row.host, queue_id=row.queue_id, arrived_at=row.arrived_at, parser=PARSER, **facts)
    merge_messages(row, reading)
    message.changed = True


def apply_attempt(  # noqa: PLR0917 - what names the line, and where it is from
    message: Message, attempt: Attempt, at: str, service: str, pid: int, number: int
) -> None:
    """Merge an attempt (or the rejection of a recipient) that *service* logged *at* a time; *number* names the line."""
    row = message.row
    delivery = DeliveryTo(
        host=row.host,
        queue_id=row.queue_id,
        arrived_at=row.arrived_at,
        origin=ORIGIN_UNSEEN,
        recipient=attempt.recipient,
        orig_recipient=attempt.orig_recipient,
        last_attempt_at=at,
        status=attempt.status,
        number=number,
        parser=PARSER,
        service=service,
        dsn=attempt.dsn,
        relay=attempt.relay,
        reply=attempt.reply,
        delay=attempt.delay,
        delays=attempt.delays,
        connection_use=attempt.connection_use,
        tls=attempt.tls,
        queued_as=attempt.queued_as,
        next_queue_id=attempt.next_queue_id,
        stage=attempt.stage,
        code=attempt.code,
        reason=attempt.reason,
        pid=pid or None,
        first_attempt_at=at,
        attempts=int(attempt.status != "rejected"),
    )
    message.add_attempt((attempt.recipient, attempt.orig_recipient), delivery)
