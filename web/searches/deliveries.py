"""``deliveries``: what became of which message for which recipient, newest first."""

from datetime import datetime
from typing import TYPE_CHECKING, Final

import msgspec
from psycopg2.sql import SQL, Identifier

from web.searches.addresses import asked
from web.searches.conditions import (
    DEFAULT_WINDOW,
    Condition,
    address_condition,
    client_condition,
    condition,
    found,
    joined,
    message_id_condition,
    statuses,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

    from web.searches.records import Record

FIELDS: Final = (
    "host", "queue_id", "arrived_at", "sender", "recipient", "orig_recipient", "status", "dsn", "relay", "reply",
    "delay", "attempts", "first_attempt_at", "last_attempt_at", "message_id", "size", "recipient_count", "client_name",
    "client_address", "sasl_username", "service", "next_queue_id", "parent_queue_id", "code", "reason", "subject",
    "verp_id", "tls", "client_tls",
)  # fmt: skip
"""Names and order are an interface."""


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


def newest(connection: "Connection") -> datetime | None:
    """Return when the newest message arrived, None without any; a wrong clock's future only without others."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce((SELECT max(arrived_at) FROM delivery_from WHERE arrived_at < now() + interval '1 hour'),"
            " (SELECT max(arrived_at) FROM delivery_from))"
        )
        row = cursor.fetchone()
    return row[0] if row else None


def search(connection: "Connection", wanted: DeliverySearch) -> "Iterator[Record]":
    """Yield the deliveries that fit, newest first, fetched as they are needed."""
    return found(connection, query(wanted, newest(connection)), FIELDS)


_NEWEST_FIRST: Final = "ORDER BY {0}.arrived_at DESC, {0}.queue_id DESC, {0}.host DESC, d.recipient, d.orig_recipient"

# What has conditions on both sides is looked up from one side, row by row, until there are enough: a plain join would
# be planned for all rows and take seconds. OFFSET 0 keeps the planner from turning one into the other.
_DIRECT: Final = "SELECT {fields} FROM deliveries d WHERE {where} {order}"
_FROM_MESSAGES: Final = (
    "SELECT {fields} FROM (SELECT arrived_at, queue_id, host FROM delivery_from d WHERE {driving}) AS k "
    "CROSS JOIN LATERAL (SELECT {fields} FROM deliveries d WHERE d.arrived_at = k.arrived_at "
    "AND d.queue_id = k.queue_id AND d.host = k.host AND {where} OFFSET 0) AS d {order}"
)
_FROM_RECIPIENTS: Final = (
    "SELECT {fields} FROM (SELECT arrived_at, queue_id, host, recipient, orig_recipient FROM delivery_to d "
    "WHERE {driving}) AS k CROSS JOIN LATERAL (SELECT {fields} FROM deliveries d WHERE d.arrived_at = k.arrived_at "
    "AND d.queue_id = k.queue_id AND d.host = k.host AND d.recipient = k.recipient "
    "AND coalesce(d.orig_recipient, '') = k.orig_recipient AND {where} OFFSET 0) AS d {order}"
)


def query(wanted: DeliverySearch, newest_arrival: datetime | None) -> Condition:
    """Return the query; *newest_arrival* ends the window of a search that names none."""
    window = _window(wanted, newest_arrival)
    message = _message_conditions(wanted)
    effective = [condition("d.status = ANY(%s)", statuses(wanted.status))] if wanted.status else []
    recipient: list[Condition] = []
    if wanted.recipient is not None:
        whom = asked(wanted.recipient)
        recipient = [address_condition("d.recipient", whom)]
        if whom.kind == "whole":
            also_before_aliases = joined([*recipient, address_condition("d.orig_recipient", whom)], " OR ")
            return _query(_FROM_RECIPIENTS, wanted, [*window, also_before_aliases], [*message, *effective])
    if message and (recipient or effective):
        return _query(_FROM_MESSAGES, wanted, [*window, *message], [*recipient, *effective])
    if recipient:
        return _query(_FROM_RECIPIENTS, wanted, [*window, *recipient], effective)
    text, implied = _by_status(wanted)
    if implied:
        return _query(text, wanted, [*window, *implied], effective)
    return _query(_DIRECT, wanted, [], [*window, *message, *effective])


# What a row must have for the view to give it that status: few rows do, and they are found without the view.
_OF_RECIPIENTS: Final = {"bounced": "d.status = 'bounced'", "deferred": "d.status <> 'sent'"}
_OF_MESSAGES: Final = {
    "held": "(d.held_at IS NOT NULL OR d.queued_at IS NULL)",
    "expired": "d.expired_at IS NOT NULL",
    "deleted": "d.deleted_at IS NOT NULL",
    "cancelled": "(d.cancelled_at IS NOT NULL OR d.queued_at IS NULL)",
}


def _by_status(wanted: DeliverySearch) -> tuple[str, list[Condition]]:
    """Return the query and the conditions for a search by status alone, none where the status implies none."""
    asked_for = statuses(wanted.status)
    for text, implied in ((_FROM_RECIPIENTS, _OF_RECIPIENTS), (_FROM_MESSAGES, _OF_MESSAGES)):
        if asked_for and implied.keys() >= set(asked_for):
            return text, [joined([condition(implied[status]) for status in asked_for], " OR ")]
    return _DIRECT, []


def _query(text: str, wanted: DeliverySearch, driving: list[Condition], where: list[Condition]) -> Condition:
    limit = condition(" LIMIT %s", wanted.limit) if wanted.limit else condition("")
    first, then = joined(driving), joined(where)
    fields = SQL(", ").join(Identifier("d", field) for field in FIELDS)
    order = SQL(_NEWEST_FIRST).format(Identifier("d" if text is _DIRECT else "k"))
    return Condition(
        SQL(text).format(fields=fields, driving=first.sql, where=then.sql, order=order) + limit.sql,
        first.parameters + then.parameters + limit.parameters,
    )


def _window(wanted: DeliverySearch, newest_arrival: datetime | None) -> list[Condition]:
    since = wanted.since
    if since is None and newest_arrival is not None and wanted.queue_id is None and wanted.message_id is None:
        since = (min(newest_arrival, wanted.until) if wanted.until else newest_arrival) - DEFAULT_WINDOW
    bounds = (("d.arrived_at >= %s", since), ("d.arrived_at < %s", wanted.until))
    return [condition(sql, bound) for sql, bound in bounds if bound is not None]


def _message_conditions(wanted: DeliverySearch) -> list[Condition]:
    conditions = []
    if wanted.sender is not None:
        conditions.append(address_condition("d.sender", asked(wanted.sender)))
    if wanted.queue_id is not None:
        conditions.append(condition("d.queue_id = %s", wanted.queue_id.strip()))
    if wanted.message_id is not None:
        conditions.append(message_id_condition("d.message_id", wanted.message_id))
    if wanted.client is not None:
        conditions.append(client_condition("d.client_name", "d.client_address", wanted.client))
    return conditions
