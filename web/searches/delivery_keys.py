"""The query behind ``deliveries`` that finds what fits: keys, newest first, by conditions that have an index."""

from collections.abc import Sequence
from datetime import datetime
from math import inf
from typing import Final

import msgspec
from psycopg2.sql import SQL

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
from web.searches.delivery_query import DeliverySearch, Known
from web.searches.status_conditions import OF_MESSAGES, OF_RECIPIENTS, implied_by

_MESSAGE: Final = "arrived_at, queue_id, host"
_RECIPIENT: Final = f"{_MESSAGE}, recipient, orig_recipient"
_NEWEST_FIRST: Final = "arrived_at DESC, queue_id DESC, host DESC"
_IN_ORDER: Final = {_MESSAGE: _NEWEST_FIRST, _RECIPIENT: f"{_NEWEST_FIRST}, recipient, nullif(orig_recipient, '')"}
"""The order in which rows are shown, for either kind of key."""

_MESSAGE_KEYS: Final = "SELECT f.arrived_at, f.queue_id, f.host FROM delivery_from f WHERE {}"
_RECIPIENT_KEYS: Final = (
    "SELECT t.arrived_at, t.queue_id, t.host, t.recipient, t.orig_recipient FROM delivery_to t WHERE {}"
)
_MESSAGES_OF_RECIPIENTS: Final = "SELECT DISTINCT t.arrived_at, t.queue_id, t.host FROM delivery_to t WHERE {}"
_QUEUED: Final = "queued"
_WITHOUT_RECIPIENTS: Final = (
    "SELECT f.arrived_at, f.queue_id, f.host FROM delivery_from f WHERE {} AND f.attempted_at IS NULL "
    "AND NOT EXISTS (SELECT FROM delivery_to t "
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
# rarer together than they are. The key's columns are the first side's, whose order the planner knows: it gives the
# first keys before it has found all.
_FROM_MESSAGES_TO_RECIPIENTS: Final = (
    "SELECT f.*, t.recipient, t.orig_recipient FROM (SELECT f.arrived_at, f.queue_id, f.host FROM delivery_from f "
    "WHERE {first} ORDER BY arrived_at DESC, queue_id DESC, host DESC OFFSET 0) AS f "
    "CROSS JOIN LATERAL (SELECT t.* FROM delivery_to t "
    "WHERE t.arrived_at = f.arrived_at AND t.queue_id = f.queue_id AND t.host = f.host AND {second} OFFSET 0) AS t "
    "WHERE {afterwards}"
)
_FROM_RECIPIENTS_TO_MESSAGES: Final = (
    "SELECT t.* FROM (SELECT t.arrived_at, t.queue_id, t.host, t.recipient, t.orig_recipient FROM delivery_to t "
    "WHERE {first} ORDER BY arrived_at DESC, queue_id DESC, host DESC OFFSET 0) AS t "
    "CROSS JOIN LATERAL (SELECT f.* FROM delivery_from f "
    "WHERE f.arrived_at = t.arrived_at AND f.queue_id = t.queue_id AND f.host = t.host AND {second} OFFSET 0) AS f "
    "WHERE {afterwards}"
)


class Expected(msgspec.Struct, frozen=True):
    """How many rows fit in a day, as the server expects; None: that side has no condition, or a guess."""

    messages: float | None = None
    recipients: float | None = None

    def days_of(self, rows: int) -> float:
        """Return in how many days *rows* may be found; 0 where nothing is known."""
        known = [side for side in (self.messages, self.recipients) if side is not None]
        return rows / max(1, min(known)) if known else 0


class _Side(msgspec.Struct, frozen=True):
    """What is asked of one of the tables."""

    window: list[Condition]
    conditions: list[Condition]
    """With names that fit a pattern as values, which the planner weighs one by one."""
    unweighed: list[Condition]
    """The same, quickly planned."""
    named: bool
    """Whether there are such names."""
    guessed: bool
    """Whether a pattern has none listed, since too many fit: the planner's estimate is a guess, and no index helps."""

    @property
    def first(self) -> Condition:
        """What finds its rows."""
        return joined([*self.window, *self.unweighed])

    @property
    def all(self) -> Condition:
        """What is true of its rows, for the planner to weigh."""
        return joined([*self.window, *self.conditions])


def keys(
    wanted: DeliverySearch,
    since: datetime | None,
    until: datetime | None,
    known: Known,
    expected: Expected = Expected(),  # noqa: B008 - it never changes
) -> Condition:
    """Return the query of all keys that may fit and arrived from *since* until before *until*, newest first.

    They fit, but for the effective status, which is known of whole rows only.
    """
    if wanted.recipient is None and not _message_conditions(wanted, known):
        every = [_keys(_MESSAGE_KEYS, joined(_window("f", since, until)))]
        return _ordered(_MESSAGE, _status_keys(wanted, since, until) or every)
    messages = _of_messages(wanted, since, until, known)
    recipients = _of_recipients(wanted, since, until, known)
    if not recipients:
        return _ordered(_MESSAGE, [_keys(_MESSAGE_KEYS, messages.first)])
    if not messages.conditions:
        return _ordered(_RECIPIENT, [_keys(_RECIPIENT_KEYS, side.first) for side in recipients])
    return _ordered(_RECIPIENT, [_both_keys(messages, side, expected) for side in recipients])


def sides(
    wanted: DeliverySearch, since: datetime | None, until: datetime | None, known: Known
) -> tuple[Condition | None, Condition | None]:
    """Return the queries of the messages and of the recipients that fit.

    None for a side without a condition, or with one of which the planner knows nothing.
    """
    messages = _of_messages(wanted, since, until, known)
    recipients = _of_recipients(wanted, since, until, known)
    return (
        _keys(_MESSAGE_KEYS, messages.all) if messages.conditions and not messages.guessed else None,
        _keys(_RECIPIENT_KEYS, recipients[0].all) if recipients and not recipients[0].guessed else None,
    )


def _both_keys(messages: _Side, recipients: _Side, expected: Expected) -> Condition:
    """Return what finds the recipients for which both are true."""
    few = [inf if side is None else side for side in (expected.messages, expected.recipients)]
    if _MOST_ONE_BY_ONE < min(few) < inf:
        return _keys(_JOINED_KEYS, joined([messages.all, recipients.all]))
    if few[1] < few[0]:
        first, second, text = recipients, messages, _FROM_RECIPIENTS_TO_MESSAGES
    else:
        first, second, text = messages, recipients, _FROM_MESSAGES_TO_RECIPIENTS
    # Names are tried when the row was found by its key: as a part of that look-up, they would be sorted for each.
    inside, afterwards = (second.window, second.conditions) if second.named else (second.window + second.conditions, [])
    parts = {"first": first.first, "second": joined(inside), "afterwards": joined(afterwards)}
    return Condition(
        SQL(text).format(**{name: part.sql for name, part in parts.items()}),
        tuple(value for part in parts.values() for value in part.parameters),
    )


def _window(table: str, since: datetime | None, until: datetime | None) -> list[Condition]:
    bounds = ((f"{table}.arrived_at >= %s", since), (f"{table}.arrived_at < %s", until))
    return [condition(sql, bound) for sql, bound in bounds if bound is not None]


def _of_messages(wanted: DeliverySearch, since: datetime | None, until: datetime | None, known: Known) -> _Side:
    implied = implied_by(wanted.status, OF_MESSAGES, OF_RECIPIENTS)
    return _Side(
        _window("f", since, until),
        _message_conditions(wanted, known) + implied,
        _message_conditions(wanted, known, weighed=False) + implied,
        named="sender" in known or "client" in known,
        guessed=_guessed("sender", wanted.sender, known) or _guessed("client", wanted.client, known),
    )


def _of_recipients(wanted: DeliverySearch, since: datetime | None, until: datetime | None, known: Known) -> list[_Side]:
    """Return what is asked of recipients, of which one must be true, each with an index; none where nothing is."""
    implied = implied_by(wanted.status, OF_RECIPIENTS, OF_MESSAGES)
    window = _window("t", since, until)
    if wanted.recipient is None:
        return [_Side(window, implied, implied, named=False, guessed=False)] if implied else []
    whom, names = asked(wanted.recipient), known.get("recipient")
    columns = ("t.recipient", "t.orig_recipient") if whom.kind == "whole" else ("t.recipient",)
    return [
        _Side(
            window,
            [address_condition(column, whom, names), *implied],
            [address_condition(column, whom, names, weighed=False), *implied],
            named=names is not None,
            guessed=_guessed("recipient", wanted.recipient, known),
        )
        for column in columns
    ]


def _guessed(field: str, text: str | None, known: Known) -> bool:
    return text is not None and "*" in text and field not in known


def _status_keys(wanted: DeliverySearch, since: datetime | None, until: datetime | None) -> list[Condition]:
    """Return what finds all messages that may have the statuses asked for; nothing where one may be anywhere."""
    asked_for = statuses(wanted.status)
    if not {*OF_RECIPIENTS, *OF_MESSAGES, _QUEUED} >= set(asked_for):
        return []
    messages, recipients = _window("f", since, until), _window("t", since, until)
    found = [
        _keys(_MESSAGE_KEYS, joined([*messages, condition(OF_MESSAGES[s])])) for s in asked_for if s in OF_MESSAGES
    ]
    found += [
        _keys(_MESSAGES_OF_RECIPIENTS, joined([*recipients, condition(OF_RECIPIENTS[s])]))
        for s in asked_for
        if s in OF_RECIPIENTS
    ]
    if _QUEUED in asked_for:
        first, second = joined(messages), joined(recipients)
        without = SQL(_WITHOUT_RECIPIENTS).format(first.sql, second.sql)
        found.append(Condition(without, first.parameters + second.parameters))
    return found


def _keys(text: str, where: Condition) -> Condition:
    return Condition(SQL(text).format(where.sql), where.parameters)


def _ordered(kind: str, found: Sequence[Condition]) -> Condition:
    """Return the keys of *found*, each once, newest first."""
    return Condition(
        SQL("SELECT {} FROM ({}) AS k ORDER BY {}").format(
            SQL(kind), SQL(" UNION ").join(SQL("({})").format(each.sql) for each in found), SQL(_IN_ORDER[kind])
        ),
        tuple(value for each in found for value in each.parameters),
    )


def _message_conditions(wanted: DeliverySearch, known: Known, *, weighed: bool = True) -> list[Condition]:
    conditions = []
    if wanted.sender is not None:
        names = known.get("sender")
        conditions.append(address_condition("f.sender", asked(wanted.sender), names, weighed=weighed))
    if wanted.queue_id is not None:
        conditions.append(condition("f.queue_id = %s", wanted.queue_id.strip()))
    if wanted.message_id is not None:
        conditions.append(message_id_condition("f.message_id", wanted.message_id))
    if wanted.client is not None:
        names = known.get("client")
        conditions.append(client_condition("f.client_name", "f.client_address", wanted.client, names, weighed=weighed))
    return conditions
