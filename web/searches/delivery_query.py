"""What ``deliveries`` looks for, and the query that gives the rows of keys that fit (``delivery_keys`` finds those)."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from psycopg2.sql import SQL, Identifier

from web.searches import lookups
from web.searches.conditions import Condition, condition, statuses

FIELDS: Final = (
    "host", "queue_id", "arrived_at", "sender", "recipient", "orig_recipient", "status", "dsn", "relay", "reply",
    "delay", "attempts", "first_attempt_at", "last_attempt_at", "message_id", "size", "recipient_count", "client_name",
    "client_address", "sasl_username", "service", "next_queue_id", "parent_queue_id", "code", "reason", "subject",
    "verp_id", "tls", "client_tls",
)  # fmt: skip
"""Names and order are an interface."""

SELECTED: Final = tuple(field for field in FIELDS if field not in lookups.FIELDS) + lookups.NEEDS
"""Columns of the rows that a query gives: for the fields, and for what is looked up."""


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
"""The names that fit what is asked for, by the field of `DeliverySearch`.

A field is missing where they are too many, and where a whole name has no spellings but the likely ones.
"""

_KEY_TYPES: Final = {
    "arrived_at": "timestamptz", "queue_id": "text", "host": "text", "recipient": "text", "orig_recipient": "text",
}  # fmt: skip
_SAME_MESSAGE: Final = "d.arrived_at = k.arrived_at AND d.queue_id = k.queue_id AND d.host = k.host"
_SAME_RECIPIENT: Final = " AND d.recipient = k.recipient AND coalesce(d.orig_recipient, '') = k.orig_recipient"

# OFFSET 0 has each key looked up by itself, in the partitions of its day; else all rows of the days may be joined.
_ROWS: Final = (
    "SELECT {fields} FROM unnest({arrays}) AS k ({names}) CROSS JOIN LATERAL (SELECT {fields} FROM "
    "delivery_rows(%s, %s) AS d WHERE {same} AND {effective} OFFSET 0) AS d "
    "ORDER BY d.arrived_at DESC, d.queue_id DESC, d.host DESC, d.recipient, d.orig_recipient{limit}"
)


def rows_of(keys: Sequence[tuple[Any, ...]], status: Sequence[str], limit: int) -> Condition:
    """Return the query of the rows that *keys*, newest first, name, as far as one of *status* fits, if any are given.

    A key is one of ``delivery_from``, and names all recipients, or one of ``delivery_to``. *limit* 0: all rows.
    """
    columns = list(zip(*keys, strict=True))
    types = dict(list(_KEY_TYPES.items())[: len(columns)])
    effective = condition("d.status = ANY(%s)", statuses(status)) if status else condition("true")
    end = condition(" LIMIT %s", limit) if limit else condition("")
    sql = SQL(_ROWS).format(
        fields=SQL(", ").join(Identifier("d", field) for field in SELECTED),
        arrays=SQL(", ").join(SQL(f"%s::{kind}[]") for kind in types.values()),
        names=SQL(", ").join(map(SQL, types)),
        same=SQL(_SAME_MESSAGE + (_SAME_RECIPIENT if "recipient" in types else "")),
        effective=effective.sql,
        limit=end.sql,
    )
    span = (keys[-1][0], keys[0][0])
    return Condition(sql, (*map(list, columns), *span, *effective.parameters, *end.parameters))
