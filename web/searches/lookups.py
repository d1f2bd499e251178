"""Where messages came from and went to, and their encryption, looked up for many rows of ``delivery_rows`` at once.

The view ``deliveries`` says the same row by row, with functions that plan for each (``0005_links.sql``,
``0006_tls_sessions.sql`` and ``0009_searching.sql`` in ``sinks/migrations`` have the why of each condition). Here one
plan serves a page: it is made for the days of the page, and each row looks into the partitions of its own time only,
which is what LATERAL, and OFFSET 0 or LIMIT, see to.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

    from web.searches.records import Record

FIELDS: Final = ("next_queue_id", "parent_queue_id", "tls", "client_tls")
"""What is looked up, under the names that the view ``deliveries`` has for it."""

NEEDS: Final = (
    "logged_next_queue_id", "logged_parent_queue_id", "requeued_at", "logged_at", "delivery_pid", "delivery_service",
    "logged_tls", "pid", "queued_as",
)  # fmt: skip
"""Columns of ``delivery_rows`` that a look-up takes beside those that a delivery shows."""


class _Lookup(msgspec.Struct, frozen=True):
    """A query that gives, for numbered rows, one text each, or none."""

    sql: str
    """``{rows}`` are the rows; what is found lies between ``first`` and ``last``."""
    field: str
    """What it finds; a row for which that is known needs no look-up."""
    at: str
    """The time that a row is looked up by; a row without it has no answer."""
    given: Mapping[str, str]
    """What else is taken of a row, and its type; a row without one of them has no answer."""
    maybe: Mapping[str, str]
    """What is taken of a row that may lack it."""
    before: timedelta
    after: timedelta
    """How far from that time what is found may lie."""


_SLACK: Final = timedelta(minutes=10)
_HANDED_ON_AS: Final = _Lookup(
    """
    SELECT k.number, n.queue_id
    FROM {rows}
    CROSS JOIN LATERAL (
        SELECT n.queue_id
        FROM delivery_from n
        WHERE n.queue_id = k.queued_as
            AND n.arrived_at BETWEEN k.at - interval '10 minutes' AND k.at + interval '10 minutes'
            AND n.arrived_at BETWEEN %(first)s AND %(last)s AND (n.host, n.queue_id) <> (k.host, k.queue_id)
            AND is_hop(
                k.host, k.queue_id, k.message_id, k.relay, n.host, n.orig_queue_id, n.message_id, n.client_name,
                n.client_address
            )
        ORDER BY n.arrived_at
        LIMIT 1
    ) AS n
    """,
    field="next_queue_id",
    at="logged_at",
    given={"host": "text", "queue_id": "text", "queued_as": "text"},
    maybe={"message_id": "text", "relay": "text"},
    before=_SLACK,
    after=_SLACK,
)
_REQUEUED_AS: Final = _Lookup(
    """
    SELECT k.number, n.queue_id
    FROM {rows}
    CROSS JOIN LATERAL (
        SELECT n.queue_id
        FROM delivery_from n
        WHERE n.orig_queue_id = k.queue_id AND n.host = k.host
            AND n.arrived_at BETWEEN k.at - interval '10 minutes' AND k.at + interval '1 day'
            AND n.arrived_at BETWEEN %(first)s AND %(last)s
        ORDER BY n.arrived_at
        LIMIT 1
    ) AS n
    """,
    field="next_queue_id",
    at="requeued_at",
    given={"host": "text", "queue_id": "text"},
    maybe={},
    before=_SLACK,
    after=timedelta(days=1),
)
_CLAIMS: Final = _Lookup(
    """
    SELECT k.number, t.arrived_at, t.queue_id, t.host, t.relay
    FROM {rows}
    CROSS JOIN LATERAL (
        SELECT t.arrived_at, t.queue_id, t.host, t.relay, t.last_attempt_at
        FROM delivery_to t
        WHERE t.queued_as = k.queue_id
            AND t.last_attempt_at BETWEEN k.at - interval '10 minutes' AND k.at + interval '10 minutes'
            AND t.arrived_at BETWEEN k.at - interval '7 days' AND k.at + interval '10 minutes'
            AND t.arrived_at BETWEEN %(first)s AND %(last)s AND (t.host, t.queue_id) <> (k.host, k.queue_id)
        OFFSET 0
    ) AS t
    ORDER BY k.number, t.last_attempt_at
    """,
    field="parent_queue_id",
    at="arrived_at",
    given={"host": "text", "queue_id": "text", "client_name": "text"},
    maybe={},
    before=timedelta(days=7),
    after=_SLACK,
)
_HOPS: Final = _Lookup(
    """
    SELECT k.number, k.queue_id
    FROM {rows}
    CROSS JOIN LATERAL (
        SELECT FROM delivery_from p
        WHERE p.arrived_at = k.at AND p.queue_id = k.queue_id AND p.host = k.host
            AND p.arrived_at BETWEEN %(first)s AND %(last)s
            AND is_hop(
                k.host, k.queue_id, p.message_id, k.relay, k.to_host, NULL, k.message_id, k.client_name,
                k.client_address
            )
        OFFSET 0
    ) AS p
    """,
    field="parent_queue_id",
    at="arrived_at",
    given={"host": "text", "queue_id": "text", "to_host": "text", "client_name": "text"},
    maybe={"relay": "text", "message_id": "text", "client_address": "text"},
    before=timedelta(),
    after=timedelta(),
)
_RELAY_TLS: Final = _Lookup(
    """
    SELECT k.number, s.said
    FROM {rows}
    CROSS JOIN LATERAL (
        SELECT concat_ws(' ', nullif(s.trust, ''), s.protocol, s.cipher) AS said
        FROM tls_sessions s
        WHERE s.host = k.host AND s.pid = k.delivery_pid AND s.service = k.delivery_service AND s.direction = 'to'
            AND s.at BETWEEN k.at - interval '10 minutes' AND k.at AND s.at BETWEEN %(first)s AND %(last)s
            AND s.peer_name = split_part(k.relay, '[', 1)
            AND (s.peer_address IS NULL OR s.peer_address = split_part(split_part(k.relay, '[', 2), ']', 1))
            AND (s.peer_port IS NULL OR s.peer_port::text = split_part(k.relay, ']:', 2))
        ORDER BY s.at DESC
        LIMIT 1
    ) AS s
    WHERE k.relay LIKE '%%[%%'
    """,
    field="tls",
    at="logged_at",
    given={"host": "text", "delivery_pid": "bigint", "delivery_service": "text", "relay": "text"},
    maybe={},
    before=_SLACK,
    after=timedelta(),
)
_CLIENT_TLS: Final = _Lookup(
    """
    SELECT k.number, s.said
    FROM {rows}
    CROSS JOIN LATERAL (
        SELECT CASE WHEN NOT s.ended THEN concat_ws(' ', nullif(s.trust, ''), s.protocol, s.cipher) END AS said
        FROM tls_sessions s
        WHERE s.host = k.host AND s.pid = k.pid AND s.service = k.service AND s.direction = 'from'
            AND s.at BETWEEN k.at - interval '10 minutes' AND k.at AND s.at BETWEEN %(first)s AND %(last)s
            AND s.peer_address = k.client_address AND (NOT s.ended OR s.at < date_trunc('second', k.at))
        ORDER BY s.at DESC, s.ended DESC
        LIMIT 1
    ) AS s
    """,
    field="client_tls",
    at="arrived_at",
    given={"host": "text", "pid": "bigint", "service": "text", "client_address": "text"},
    maybe={},
    before=_SLACK,
    after=timedelta(),
)
_TEXTS: Final = (_HANDED_ON_AS, _REQUEUED_AS, _RELAY_TLS, _CLIENT_TLS)


def looked_up(connection: "Connection", rows: "Sequence[Record]") -> "Sequence[Record]":
    """Return, for each of *rows* of ``delivery_rows``, the FIELDS."""
    found: list[dict[str, Any]] = [
        {
            "next_queue_id": row["logged_next_queue_id"],
            "parent_queue_id": row["logged_parent_queue_id"],
            "tls": row["logged_tls"],
            "client_tls": None,
        }
        for row in rows
    ]
    for lookup in _TEXTS:
        for number, text in _answers(connection, lookup, _unknown(lookup, rows, found)):
            found[number][lookup.field] = text
    for number, queue_id in _earlier(connection, _unknown(_CLAIMS, rows, found)):
        found[number]["parent_queue_id"] = queue_id
    return found


def _unknown(lookup: _Lookup, rows: "Sequence[Record]", found: "Sequence[Record]") -> "Mapping[int, Record]":
    return {number: row for number, row in enumerate(rows) if found[number][lookup.field] is None}


def _earlier(connection: "Connection", rows: "Mapping[int, Record]") -> Iterator[tuple[int, str]]:
    """Yield the numbers of *rows* that an earlier message was handed on as, with that one's queue id.

    Nearly no message has a claim, by which it is found: only for those that have are there messages to be read.
    """
    claims = [
        {"arrived_at": at, "queue_id": queue_id, "host": host, "relay": relay, "number": number}
        | {name: rows[number][name] for name in ("message_id", "client_name", "client_address")}
        | {"to_host": rows[number]["host"]}
        for number, at, queue_id, host, relay in _answers(connection, _CLAIMS, rows)
    ]
    true = _answers(connection, _HOPS, dict(enumerate(claims)))
    # In reverse, since of several the first attempt counts.
    for claim, queue_id in sorted(true, reverse=True):
        yield claims[claim]["number"], queue_id


def _answers(connection: "Connection", lookup: _Lookup, rows: "Mapping[int, Record]") -> list[tuple[Any, ...]]:
    """Return what the look-up says of the numbered rows, of which only those are asked for that have what it takes."""
    needed = (lookup.at, *lookup.given)
    asked = {number: row for number, row in rows.items() if None not in map(row.__getitem__, needed)}
    if not asked:
        return []
    moments = [row[lookup.at] for row in asked.values()]
    first, last = min(moments) - lookup.before, max(moments) + lookup.after
    columns: dict[str, list[Any]] = {"number": list(asked), "at": moments}
    taken = {**lookup.given, **lookup.maybe}
    columns |= {name: [row[name] for row in asked.values()] for name in taken}
    arrays = ", ".join(
        f"%({name})s::{kind}[]" for name, kind in {"number": "int", "at": "timestamptz", **taken}.items()
    )
    with connection.cursor() as cursor:
        cursor.execute(
            lookup.sql.replace("{rows}", f"unnest({arrays}) AS k ({', '.join(columns)})"),
            columns | {"first": first, "last": last},
        )
        return cursor.fetchall()
