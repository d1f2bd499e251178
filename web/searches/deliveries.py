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

    from schemas.settings import DatabaseSettings
    from web.searches.records import Record

FIELDS: Final = (
    "host", "queue_id", "arrived_at", "sender", "recipient", "orig_recipient", "status", "dsn", "relay", "reply",
    "delay", "attempts", "first_attempt_at", "last_attempt_at", "message_id", "size", "recipient_count", "client_name",
    "client_address", "sasl_username", "service", "next_queue_id", "parent_queue_id",
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


def search(connection: "Connection", database: "DatabaseSettings", wanted: DeliverySearch) -> "Iterator[Record]":
    """Yield the deliveries that fit, newest first, fetched as they are needed. Raises JournalPostfixError."""
    return found(connection, database, query(wanted, newest(connection)), FIELDS)


def query(wanted: DeliverySearch, newest_arrival: datetime | None) -> Condition:
    """Return the query; *newest_arrival* ends the window of a search that names none."""
    message, recipient, effective = _conditions(wanted, newest_arrival)
    order = SQL(" ORDER BY arrived_at DESC, queue_id DESC, host DESC, recipient, orig_recipient")
    fields = SQL(", ").join(map(Identifier, FIELDS))
    limit = condition(" LIMIT %s", wanted.limit) if wanted.limit else condition("")
    where = joined([*message, *recipient, *effective])
    return Condition(
        SQL("SELECT {} FROM deliveries WHERE {}").format(fields, where.sql) + order + limit.sql,
        where.parameters + limit.parameters,
    )


def _conditions(
    wanted: DeliverySearch, newest_arrival: datetime | None
) -> tuple[list[Condition], list[Condition], list[Condition]]:
    """Return what must hold of the message, of the recipient, and of what became of both."""
    message, recipient, effective = [], [], []
    since = wanted.since
    if since is None and newest_arrival is not None and wanted.queue_id is None and wanted.message_id is None:
        since = (min(newest_arrival, wanted.until) if wanted.until else newest_arrival) - DEFAULT_WINDOW
    if since is not None:
        message.append(condition("arrived_at >= %s", since))
    if wanted.until is not None:
        message.append(condition("arrived_at < %s", wanted.until))
    if wanted.sender is not None:
        message.append(address_condition("sender", asked(wanted.sender)))
    if wanted.queue_id is not None:
        message.append(condition("queue_id = %s", wanted.queue_id.strip()))
    if wanted.message_id is not None:
        message.append(message_id_condition("message_id", wanted.message_id))
    if wanted.client is not None:
        message.append(client_condition("client_name", "client_address", wanted.client))
    if wanted.recipient is not None:
        recipient.append(address_condition("recipient", asked(wanted.recipient)))
    if wanted.status:
        effective.append(condition("status = ANY(%s)", statuses(wanted.status)))
    return message, recipient, effective
