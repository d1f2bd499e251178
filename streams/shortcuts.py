"""The seven kinds of line that make up nine tenths of a log, merged the shortest way.

A shortcut does with a line what `streams.parsing.parse` and the merging of its facts would do, or leaves it to them: it
takes only lines of which that is plain at once, of messages that are under way and that no other version of the parser
has read. It saves what is made on the longer way and forgotten with the line; a worker merges twice as many lines for
it. tests/streams/test_shortcuts.py holds the two ways together.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from schemas.deliveries import ORIGIN_SURE, DeliveryTo
from schemas.keys import QUEUE_ID
from schemas.raw import RawLine
from schemas.timestamps import to_text
from streams.messages import Message, mark_of, name_of, reads_otherwise
from streams.parsing import PARSER
from streams.parsing.cleanup import CONTENT_CHECK
from streams.parsing.delivery import AGENTS, DELIVERED, DELIVERY, seconds
from streams.parsing.formats import pattern_of, split_program
from streams.parsing.qmgr import ACTIVE
from streams.parsing.reasons import reason_of
from streams.parsing.tokens import CLIENT, CODES, MAX_ADDRESS, bare_id, queued_as, reply_code
from streams.slots import Slots

Shortcut = Callable[[Slots, RawLine, str, int], Message | str | None]
"""Takes the slots of the line's host, the line, its text and its time; returns the message that it was merged into, or
the class of a line that tells nothing of one, or None: it does not know this line."""

LONGEST: Final = 2_000
"""Characters of a text that a shortcut may get: what is longer may be cut by the parser."""

_active: Final = pattern_of(ACTIVE)
_delivery: Final = pattern_of(DELIVERY)
_is_queue_id = re.compile(QUEUE_ID).fullmatch
_client = re.compile(CLIENT, re.ASCII).fullmatch
_to_text = lru_cache(maxsize=64)(to_text)  # the lines of one moment come together


def shortcut_of(program: str, *, keep_subject: bool, verp: bool) -> Shortcut | None:
    """Return the shortcut for the lines of *program*, a syslog identifier; None where there is none.

    With *keep_subject* the subjects are wanted, with *verp* the VERP ids: both are for the parser.
    """
    instance, service, daemon = split_program(program)
    if daemon in AGENTS:
        return _agent(service)
    if daemon in {"qmgr", "oqmgr", "nqmgr"}:
        return _without_senders if verp else _queue_manager
    if daemon == "cleanup":
        return _message_id if keep_subject else _without_subjects
    if daemon == "smtpd":
        return _server(instance, service)
    return None


def _agent(service: str) -> Shortcut:
    def attempt(slots: Slots, line: RawLine, text: str, at: int) -> Message | None:
        """``ID: to=<…>, …, status=… (…)``."""
        queue_id, _, record = text.partition(": ")
        if not record.startswith("to=<"):
            return None
        message = slots.under_way(queue_id, at)
        found = _delivery(record) if message is not None else None
        if message is None or found is None:
            return None
        to, orig_to, relay, connection_use, delay, delays, tls, dsn, status, reply = found.groups("")
        if reply.startswith("forwarded as ") or len(to) > MAX_ADDRESS or len(orig_to) > MAX_ADDRESS:
            return None
        reply = reply.removesuffix(")")
        row, moment = message.row, _to_text(at)
        delivery = DeliveryTo(
            host=row.host,
            queue_id=queue_id,
            arrived_at=row.arrived_at,
            recipient=to,
            orig_recipient=orig_to,
            last_attempt_at=moment,
            status=status,
            number=name_of(line),
            parser=PARSER,
            service=service,
            dsn=dsn,
            relay=relay[:MAX_ADDRESS],
            reply=reply,
            delay=seconds(delay),
            delays=delays or None,
            code=CODES.get(reply[:4]) or reply_code(reply),
            pid=line.pid or None,
            first_attempt_at=moment,
        )
        if connection_use:
            delivery.connection_use = int(connection_use)
        if tls:
            delivery.tls = tls
        if status == "sent":
            delivery.queued_as = queued_as(reply)
        elif status not in DELIVERED:
            delivery.reason = reason_of(reply, dsn or None, delivery.code)
            delivery.attempts = int(status != "rejected")
        message.add_attempt((to, orig_to), delivery)
        return message

    return attempt


def _queue_manager(slots: Slots, _: RawLine, text: str, at: int) -> Message | None:
    """``ID: removed`` and ``ID: from=<…>, size=…, nrcpt=… (queue active)``."""
    queue_id, _colon, record = text.partition(": ")
    if record == "removed":
        return _removed(slots, queue_id, at)
    found = _active(record)
    message = slots.under_way(queue_id, at) if found is not None else None
    if found is None or message is None:
        return None
    sender, size, recipients = found.groups()
    row, moment = message.row, _to_text(at)
    if len(sender) > MAX_ADDRESS or reads_otherwise(row):
        return None
    if row.queued_at is None or row.sender is None or sender > row.sender:  # schemas.merging.sender_order
        row.sender, row.verp_id = sender, None
        message.changed = True
    if row.size is None or int(size) > row.size:
        row.size = int(size)
        message.changed = True
    if row.recipient_count is None or int(recipients) > row.recipient_count:
        row.recipient_count = int(recipients)
        message.changed = True
    if row.queued_at is None or moment < row.queued_at:
        row.queued_at = moment
        message.changed = True
    return message


def _without_senders(slots: Slots, _: RawLine, text: str, at: int) -> Message | None:
    """``ID: removed``."""
    queue_id, _colon, record = text.partition(": ")
    return _removed(slots, queue_id, at) if record == "removed" else None


def _removed(slots: Slots, queue_id: str, at: int) -> Message | None:
    message = slots.under_way(queue_id, at)
    if message is None or reads_otherwise(message.row):
        return None
    row, moment = message.row, _to_text(at)
    if row.removed_at is None or moment > row.removed_at:
        row.removed_at = moment
        message.changed = True
    return message


def _without_subjects(slots: Slots, _: RawLine, text: str, at: int) -> Message | str | None:
    """``ID: message-id=…``, and ``ID: info: header Subject: …``, which nobody wants."""
    queue_id, _colon, record = text.partition(": ")
    if record.startswith("info: ") and queue_id in slots.messages:
        return CONTENT_CHECK
    return _named(slots, queue_id, record, at)


def _message_id(slots: Slots, _: RawLine, text: str, at: int) -> Message | None:
    """``ID: message-id=…``."""
    queue_id, _colon, record = text.partition(": ")
    return _named(slots, queue_id, record, at)


def _named(slots: Slots, queue_id: str, record: str, at: int) -> Message | None:
    if not record.startswith("message-id="):
        return None
    message = slots.in_transaction(queue_id, at)
    if message is None or reads_otherwise(message.row):
        return None
    row, value = message.row, bare_id(record[11:])
    if row.message_id is None or value > row.message_id:
        row.message_id = value
        message.changed = True
    return message


def _server(instance: str, service: str) -> Shortcut:
    def begin(slots: Slots, line: RawLine, text: str, at: int) -> Message | str | None:
        """``connect from …``, ``disconnect from …``, ``ID: client=…``."""
        if text.startswith("connect from ") or (text.startswith("disconnect from ") and "starttls=" not in text):
            return "connection"
        queue_id, _, record = text.partition(": ")
        if not record.startswith("client=") or queue_id in slots.messages or queue_id in slots.resting:
            return None
        found = _client(record, 7)
        if found is None or not _is_queue_id(queue_id):
            return None
        name, address, port = found.groups()
        message = slots.begin(queue_id, at, ORIGIN_SURE, mark_of(line, at))
        row = message.row
        row.client_name = name[:MAX_ADDRESS] or None
        if address != "unknown":
            row.client_address = address[:MAX_ADDRESS] or None
        if port:
            row.client_port = int(port)
        row.service, row.instance, row.pid = service, instance, line.pid
        return message

    return begin
