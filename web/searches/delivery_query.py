"""The query behind ``deliveries``: what has a condition with an index is found first, then its rows of the view."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec
from psycopg2.sql import SQL, Identifier

from web.searches import lookups
from web.searches.addresses import asked
from web.searches.conditions import (
    Condition,
    address_condition,
    client_condition,
    condition,
    joined,
    message_id_condition,
    statuses,
)
from web.searches.status_conditions import OF_MESSAGES, OF_RECIPIENTS, implied_by

FIELDS: Final = (
    "host", "queue_id", "arrived_at", "sender", "recipient", "orig_recipient", "status", "dsn", "relay", "reply",
    "delay", "attempts", "first_attempt_at", "last_attempt_at", "message_id", "size", "recipient_count", "client_name",
    "client_address", "sasl_username", "service", "next_queue_id", "parent_queue_id", "code", "reason", "subject",
    "verp_id", "tls", "client_tls",
)  # fmt: skip
"""Names and order are an interface."""

SELECTED: Final = tuple(field for field in FIELDS if field not in lookups.FIELDS) + lookups.NEEDS
"""Columns of the rows that a query gives: those of ``delivery_rows`` for the fields, and for what is looked up."""


class DeliverySearch(msgspec.Struct, frozen=True, kw_only=True):
    """What to look for; None and empty: anything."""

    sender: str | None = None
    recipient: str | None = None
    queue_id: str | None = None
    message_id: str | None = None
    client: str | None = None
    """Name or address of the client that brought the message; with ``*`` a pattern of its name."""
    status: tuple[str, ...] = ()
    """Effective ones, of which one must fit."""
    since: datetime | None = None
    until: datetime | None = None
    limit: int = 50
    """0: all."""


Known = Mapping[str, Sequence[str]]
"""The names that fit a pattern, by the field of `DeliverySearch`; a field is missing where they are too many."""


_NEWEST_FIRST: Final = "ORDER BY {0}.arrived_at DESC, {0}.queue_id DESC, {0}.host DESC, d.recipient, d.orig_recipient"

# What has a condition that an index answers is looked up by it, then row by row in the view, until there are enough.
# OFFSET 0 keeps the planner from other plans: it would read back from the newest row until enough fit, and hardly any
# may; or it would make all rows of the view before it sorts them.
_DIRECT: Final = "SELECT {fields} FROM delivery_rows d WHERE {where} {order}"
_FROM_MESSAGES: Final = (
    "SELECT {fields} FROM ({keys}) AS k CROSS JOIN LATERAL (SELECT {fields} FROM delivery_rows d "
    "WHERE d.arrived_at = k.arrived_at AND d.queue_id = k.queue_id AND d.host = k.host "
    "AND {where} OFFSET 0) AS d {order}"
)
_FROM_RECIPIENTS: Final = (
    "SELECT {fields} FROM ({keys}) AS k CROSS JOIN LATERAL (SELECT {fields} FROM delivery_rows d "
    "WHERE d.arrived_at = k.arrived_at AND d.queue_id = k.queue_id AND d.host = k.host AND d.recipient = k.recipient "
    "AND coalesce(d.orig_recipient, '') = k.orig_recipient AND {where} OFFSET 0) AS d {order}"
)
_KEYS: Final = "SELECT * FROM ({}) AS k ORDER BY arrived_at DESC, queue_id DESC, host DESC OFFSET 0"
_MESSAGE_KEYS: Final = "SELECT f.arrived_at, f.queue_id, f.host FROM delivery_from f WHERE {}"
_RECIPIENT_KEYS: Final = (
    "SELECT t.arrived_at, t.queue_id, t.host, t.recipient, t.orig_recipient FROM delivery_to t WHERE {}"
)
_MESSAGES_OF_RECIPIENTS: Final = "SELECT t.arrived_at, t.queue_id, t.host FROM delivery_to t WHERE {}"
_QUEUED: Final = "queued"
_WITHOUT_RECIPIENTS: Final = (
    "SELECT f.arrived_at, f.queue_id, f.host FROM delivery_from f WHERE {} AND NOT EXISTS (SELECT FROM delivery_to t "
    "WHERE t.arrived_at = f.arrived_at AND t.queue_id = f.queue_id AND t.host = f.host AND {})"
)
_JOINED_KEYS: Final = (
    "SELECT t.arrived_at, t.queue_id, t.host, t.recipient, t.orig_recipient FROM delivery_to t "
    "JOIN delivery_from f ON f.arrived_at = t.arrived_at AND f.queue_id = t.queue_id AND f.host = t.host WHERE {}"
)
_MOST_ONE_BY_ONE: Final = 30_000
"""Rows a day of the side of which fewer fit; with more, the other side as a whole is read sooner."""

# Conditions for both sides: from the side of which fewer rows fit, newest first and row by row to the other one, until
# there are enough. Left to itself, the planner may read the heavy side as a whole, since it takes two conditions to be
# rarer together than they are.
_FROM_MESSAGES_TO_RECIPIENTS: Final = (
    "SELECT t.* FROM (SELECT f.arrived_at, f.queue_id, f.host FROM delivery_from f WHERE {messages} "
    "ORDER BY f.arrived_at DESC, f.queue_id DESC, f.host DESC OFFSET 0) AS f "
    "CROSS JOIN LATERAL (SELECT t.arrived_at, t.queue_id, t.host, t.recipient, t.orig_recipient FROM delivery_to t "
    "WHERE t.arrived_at = f.arrived_at AND t.queue_id = f.queue_id AND t.host = f.host AND {recipients} OFFSET 0) AS t"
)
_FROM_RECIPIENTS_TO_MESSAGES: Final = (
    "SELECT t.* FROM (SELECT t.arrived_at, t.queue_id, t.host, t.recipient, t.orig_recipient FROM delivery_to t "
    "WHERE {recipients} ORDER BY t.arrived_at DESC, t.queue_id DESC, t.host DESC OFFSET 0) AS t "
    "CROSS JOIN LATERAL (SELECT FROM delivery_from f "
    "WHERE f.arrived_at = t.arrived_at AND f.queue_id = t.queue_id AND f.host = t.host AND {messages} OFFSET 0) AS f"
)


class Expected(msgspec.Struct, frozen=True):
    """How many rows fit in a day, as the server expects; None: there is no condition for that side, or who knows."""

    messages: float | None = None
    recipients: float | None = None

    def days_of(self, rows: int) -> float:
        """Return in how many days *rows* may be found; 0 where nothing is known."""
        known = [side for side in (self.messages, self.recipients) if side is not None]
        return rows / max(1, min(known)) if known else 0


def query(  # noqa: PLR0917 - a window has two ends
    wanted: DeliverySearch,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    known: Known,
    expected: Expected = Expected(),  # noqa: B008 - it never changes
) -> Condition:
    """Return the query of the newest *limit* that arrived from *since* until before *until*; *limit* 0: of all."""
    # The keys are of that time anyway: said again, so that the view is planned for these days only.
    effective = _window("d", since, until)
    effective += [condition("d.status = ANY(%s)", statuses(wanted.status))] if wanted.status else []
    message = _message_conditions(wanted, known)
    if not message and wanted.recipient is None:
        if keys := _status_keys(wanted, since, until):
            return _query(_FROM_MESSAGES, limit, keys, effective)
        return _query(_DIRECT, limit, [], effective)
    message += implied_by(wanted.status, OF_MESSAGES, OF_RECIPIENTS)
    recipients = _recipient_conditions(wanted, known)
    in_time = _window("f", since, until) if message else []
    if recipients:
        of_recipients = [joined([*_window("t", since, until), *recipient]) for recipient in recipients]
        if message:
            of_messages = joined([*in_time, *message])
            keys = [_both_keys(of_messages, recipient, expected) for recipient in of_recipients]
        else:
            keys = [_keys(_RECIPIENT_KEYS, [recipient]) for recipient in of_recipients]
        return _query(_FROM_RECIPIENTS, limit, keys, effective)
    return _query(_FROM_MESSAGES, limit, [_keys(_MESSAGE_KEYS, [*in_time, *message])], effective)


def sides(
    wanted: DeliverySearch, since: datetime | None, until: datetime | None, known: Known
) -> tuple[Condition | None, Condition | None]:
    """Return the queries of the messages and of the recipients that fit; None for a side without a condition."""
    message = [*_message_conditions(wanted, known), *implied_by(wanted.status, OF_MESSAGES, OF_RECIPIENTS)]
    recipients = _recipient_conditions(wanted, known)
    return (
        _keys(_MESSAGE_KEYS, [*_window("f", since, until), *message]) if message else None,
        _keys(_RECIPIENT_KEYS, [*_window("t", since, until), *recipients[0]]) if recipients else None,
    )


def _both_keys(messages: Condition, recipients: Condition, expected: Expected) -> Condition:
    """Return what finds the recipients for which both are true."""
    of_messages, of_recipients = expected.messages or 0, expected.recipients or 0
    if min(of_messages, of_recipients) > _MOST_ONE_BY_ONE:
        return _keys(_JOINED_KEYS, [messages, recipients])
    first, second, text = messages, recipients, _FROM_MESSAGES_TO_RECIPIENTS
    if of_recipients < of_messages:
        first, second, text = recipients, messages, _FROM_RECIPIENTS_TO_MESSAGES
    return Condition(
        SQL(text).format(messages=messages.sql, recipients=recipients.sql), first.parameters + second.parameters
    )


def _window(table: str, since: datetime | None, until: datetime | None) -> list[Condition]:
    bounds = ((f"{table}.arrived_at >= %s", since), (f"{table}.arrived_at < %s", until))
    return [condition(sql, bound) for sql, bound in bounds if bound is not None]


def _recipient_conditions(wanted: DeliverySearch, known: Known) -> list[list[Condition]]:
    """Return the conditions for recipients, of which one set must be true, each with an index; none where none are."""
    implied = implied_by(wanted.status, OF_RECIPIENTS, OF_MESSAGES)
    if wanted.recipient is None:
        return [implied] if implied else []
    whom = asked(wanted.recipient)
    recipient = address_condition("t.recipient", whom, known.get("recipient"))
    if whom.kind != "whole":
        return [[recipient, *implied]]
    before_aliases = address_condition("t.orig_recipient", whom)
    return [[recipient, *implied], [before_aliases, *implied]]


def _status_keys(wanted: DeliverySearch, since: datetime | None, until: datetime | None) -> list[Condition]:
    """Return what finds all messages that may have the statuses asked for; nothing where one may be anywhere."""
    asked_for = statuses(wanted.status)
    if not {*OF_RECIPIENTS, *OF_MESSAGES, _QUEUED} >= set(asked_for):
        return []
    messages, recipients = _window("f", since, until), _window("t", since, until)
    keys = [_keys(_MESSAGE_KEYS, [*messages, condition(OF_MESSAGES[s])]) for s in asked_for if s in OF_MESSAGES]
    keys += [
        _keys(_MESSAGES_OF_RECIPIENTS, [*recipients, condition(OF_RECIPIENTS[s])])
        for s in asked_for
        if s in OF_RECIPIENTS
    ]
    if _QUEUED in asked_for:
        first, second = joined(messages), joined(recipients)
        without = SQL(_WITHOUT_RECIPIENTS).format(first.sql, second.sql)
        keys.append(Condition(without, first.parameters + second.parameters))
    return keys


def _keys(text: str, conditions: Sequence[Condition]) -> Condition:
    where = joined(conditions)
    return Condition(SQL(text).format(where.sql), where.parameters)


def _query(text: str, limit: int, keys: Sequence[Condition], where: Sequence[Condition]) -> Condition:
    end = condition(" LIMIT %s", limit) if limit else condition("")
    then = joined(where)
    fields = SQL(", ").join(Identifier("d", field) for field in SELECTED)
    order = SQL(_NEWEST_FIRST).format(Identifier("k" if keys else "d"))
    from_keys = SQL(_KEYS).format(SQL(" UNION ").join(condition.sql for condition in keys))
    return Condition(
        SQL(text).format(fields=fields, keys=from_keys, where=then.sql, order=order) + end.sql,
        tuple(value for condition in keys for value in condition.parameters) + then.parameters + end.parameters,
    )


def _message_conditions(wanted: DeliverySearch, known: Known) -> list[Condition]:
    conditions = []
    if wanted.sender is not None:
        conditions.append(address_condition("f.sender", asked(wanted.sender), known.get("sender")))
    if wanted.queue_id is not None:
        conditions.append(condition("f.queue_id = %s", wanted.queue_id.strip()))
    if wanted.message_id is not None:
        conditions.append(message_id_condition("f.message_id", wanted.message_id))
    if wanted.client is not None:
        conditions.append(client_condition("f.client_name", "f.client_address", wanted.client, known.get("client")))
    return conditions
