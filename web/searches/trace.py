"""``trace``: find a message by a word and follow it from queue id to queue id, on this host and on the next."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import msgspec
from psycopg2.extras import RealDictCursor

from schemas.deliveries import DeliveryFrom, DeliveryTo
from web.searches.conditions import all_spellings
from web.searches.deliveries import newest
from web.searches.journey import Hop
from web.searches.windows import windows

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

    from web.searches.records import Record

Key = tuple[datetime, str, str]
"""Time of arrival, queue id, host: in the order of the primary key."""

MOST_FOUND: Final = 5
"""Messages that a word stands for: the newest."""
MOST_HOPS: Final = 25
MOST_DELIVERIES: Final = 50
"""Deliveries shown of one message: those to an address that was asked for first, then those that were not sent."""

_AROUND: Final = timedelta(minutes=10)
"""How far two hosts' clocks and queues may be apart for ``queued as``."""
_LIFETIME: Final = timedelta(days=7)
"""How long after its arrival a message may give rise to another: the queue lifetime and a margin."""


class Link(msgspec.Struct, frozen=True):
    """A message that hangs together with another."""

    key: Key
    how: str


class Way(msgspec.Struct, frozen=True):
    """What was found, and whether it is all."""

    hops: list[Hop]
    more_messages: bool = False
    """Whether the word stands for more than the newest `MOST_FOUND`."""
    more_hops: bool = False
    """Whether more than `MOST_HOPS` hang together."""


def trace(connection: "Connection", word: str) -> Way:
    """Return the hops of the messages that *word* (queue id, message-id or address) names, in the order of time."""
    addresses = _addresses(connection, word)
    found = _find(connection, word, addresses)
    waiting = [(Link(key, ""), "") for key in found[:MOST_FOUND]]
    hops: dict[Key, Hop] = {}
    more_hops = False
    while waiting and not more_hops:
        link, linked_from = waiting.pop(0)
        if link.key in hops:
            continue
        if len(hops) == MOST_HOPS:
            more_hops = True
            continue
        hop = _load(connection, link, linked_from, addresses)
        hops[link.key] = hop
        waiting.extend((following, hop.message["queue_id"]) for following in _links(connection, hop))
    in_order = sorted(hops.values(), key=lambda hop: (hop.message["arrived_at"], hop.message["queue_id"]))
    return Way(in_order, more_messages=len(found) > MOST_FOUND, more_hops=more_hops)


_BY_WORD: Final = {
    "queue_id": "SELECT arrived_at, queue_id, host FROM delivery_from WHERE queue_id = %(word)s",
    "message_id": "SELECT arrived_at, queue_id, host FROM delivery_from WHERE message_id = %(message_id)s",
}
_BY_ADDRESS: Final = (
    "SELECT arrived_at, queue_id, host FROM delivery_from WHERE sender = ANY(%(addresses)s) AND {window} UNION "
    "SELECT arrived_at, queue_id, host FROM delivery_to WHERE recipient = ANY(%(addresses)s) AND {window} UNION "
    "SELECT arrived_at, queue_id, host FROM delivery_to "
    "WHERE orig_recipient = ANY(%(addresses)s) AND orig_recipient <> '' AND {window}"
)
_WINDOW: Final = (
    "arrived_at >= coalesce(%(since)s::timestamptz, '-infinity') "
    "AND arrived_at < coalesce(%(until)s::timestamptz, 'infinity')"
)


def _find(connection: "Connection", word: str, addresses: Sequence[str]) -> list[Key]:
    """Return the newest messages that *word* names, one more than `MOST_FOUND` at most: then there are more.

    *addresses* are how rows may spell it, if it is an address.
    """
    inner = _inner(word)
    parameters = {"word": word.strip(), "message_id": inner, "addresses": addresses}
    newest_first = f"ORDER BY arrived_at DESC LIMIT {MOST_FOUND + 1}"
    keys: set[Key] = set()
    for query in _BY_WORD.values():
        keys.update(_keys(connection, f"{query} {newest_first}", parameters))
    if "@" in inner or (inner and not keys):  # local mail may be for a name alone, such as root
        by_address = f"{_BY_ADDRESS.format(window=_WINDOW)} {newest_first}"
        for since, until in windows(newest(connection), None, None):
            keys.update(_keys(connection, by_address, {**parameters, "since": since, "until": until}))
            if len(keys) > MOST_FOUND:
                break
    return sorted(keys, reverse=True)[: MOST_FOUND + 1]


def _inner(word: str) -> str:
    return word.strip().removeprefix("<").removesuffix(">")


def _addresses(connection: "Connection", word: str) -> list[str]:
    inner = _inner(word)
    every = (all_spellings(connection, kind, inner) for kind in ("sender", "recipient"))
    return list(dict.fromkeys(chain.from_iterable(every)))


def _load(connection: "Connection", link: Link, linked_from: str, addresses: Sequence[str]) -> Hop:
    arrived_at, queue_id, host = link.key
    messages = _rows(
        connection,
        "SELECT f.*, client_tls(host, nullif(pid, 0), service, client_address, arrived_at), message_status(f)"
        " FROM delivery_from f WHERE arrived_at = %s AND queue_id = %s AND host = %s",
        link.key,
    )
    # Only later lines of it were seen: what is known is in its deliveries.
    unseen = dict.fromkeys(DeliveryFrom.__struct_fields__) | {
        "host": host, "queue_id": queue_id, "arrived_at": arrived_at, "client_tls": None,
        "message_status": None,
    }  # fmt: skip
    deliveries = _rows(
        connection,
        "SELECT t.*, coalesce(t.tls, relay_tls(t.host, t.pid, t.service, t.relay, t.last_attempt_at)) AS tls,"
        " coalesce(d.status, counted_status(t.status, t.service)) AS effective_status,"
        " count(*) OVER () AS deliveries_in_all"
        " FROM delivery_to t"
        " LEFT JOIN delivery_rows(%s, %s) d ON d.queue_id = t.queue_id AND d.host = t.host"
        " AND d.recipient = t.recipient AND coalesce(d.orig_recipient, '') = t.orig_recipient"
        " WHERE t.arrived_at = %s AND t.queue_id = %s AND t.host = %s"
        " ORDER BY t.recipient <> ALL(%s) AND t.orig_recipient <> ALL(%s), t.status = 'sent',"
        " t.recipient, t.orig_recipient LIMIT %s",
        (arrived_at, arrived_at, *link.key, addresses, addresses, MOST_DELIVERIES),
    )
    deliveries.sort(key=lambda row: (row["recipient"], row["orig_recipient"]))
    in_all = deliveries[0]["deliveries_in_all"] if deliveries else 0
    message = dict(messages[0]) if messages else unseen
    status = message.pop("message_status")
    return Hop(
        message=message,
        status="" if deliveries else status or "",
        deliveries=[{field: row.get(field) for field in _DELIVERY_FIELDS} for row in deliveries],
        more=in_all - len(deliveries),
        link=link.how,
        linked_from=linked_from,
    )


_DELIVERY_FIELDS: Final = (
    *(field for field in DeliveryTo.__struct_fields__ if field != "version"),
    "effective_status",
)


_KEY: Final = "SELECT arrived_at, queue_id, host FROM delivery_from "

_SLOT_BEFORE: Final = (
    _KEY + "WHERE host = %(host)s AND queue_id = %(other)s AND arrived_at <= %(at)s ORDER BY arrived_at DESC LIMIT 1"
)
_SLOT_THEN: Final = (
    _KEY + "WHERE host = %(host)s AND queue_id = %(other)s AND arrived_at BETWEEN %(from)s AND %(to)s "
    "ORDER BY arrived_at LIMIT 1"
)
_QUEUED_AS: Final = (  # any remote's reply may name an id that looks like one of ours
    _KEY + "WHERE queue_id = %(other)s AND (host, queue_id) <> (%(host)s, %(queue_id)s) "
    "AND arrived_at BETWEEN %(from)s AND %(to)s AND is_hop(%(host)s, %(queue_id)s, %(message_id)s, %(relay)s, "
    "host, orig_queue_id, message_id, client_name, client_address) ORDER BY arrived_at LIMIT 1"
)
_MADE_FROM: Final = (
    _KEY + "WHERE host = %(host)s AND parent_queue_id = %(queue_id)s AND arrived_at BETWEEN %(at)s AND %(to)s "
    f"ORDER BY arrived_at LIMIT {MOST_HOPS}"
)
_REQUEUED: Final = (
    _KEY + "WHERE host = %(host)s AND orig_queue_id = %(queue_id)s AND arrived_at BETWEEN %(at)s AND %(to)s "
    "ORDER BY arrived_at LIMIT 1"
)
_HANDED_ON_BY: Final = (
    "SELECT t.arrived_at, t.queue_id, t.host FROM delivery_to t "
    "LEFT JOIN delivery_from f ON f.arrived_at = t.arrived_at AND f.queue_id = t.queue_id AND f.host = t.host "
    "AND f.arrived_at BETWEEN %(earliest)s AND %(to)s "
    "WHERE t.queued_as = %(queue_id)s AND (t.host, t.queue_id) <> (%(host)s, %(queue_id)s) "
    "AND t.last_attempt_at BETWEEN %(from)s AND %(to)s AND t.arrived_at BETWEEN %(earliest)s AND %(to)s "
    "AND is_hop(t.host, t.queue_id, f.message_id, t.relay, %(host)s, %(orig_queue_id)s, %(message_id)s, "
    "%(client_name)s, %(client_address)s) "
    "ORDER BY t.arrived_at DESC LIMIT 1"
)


def _links(connection: "Connection", hop: Hop) -> Iterator[Link]:
    """Yield the messages that this one came from and those that came from it."""
    message = hop.message
    known = ("host", "queue_id", "message_id", "orig_queue_id", "client_name", "client_address")
    own = {name: message[name] for name in known} | {"at": message["arrived_at"]}
    later = own | {"to": own["at"] + _LIFETIME}
    for column, how in (("parent_queue_id", "origin of"), ("orig_queue_id", "before")):
        if message[column]:
            yield from _linked(connection, _SLOT_BEFORE, own | {"other": message[column]}, how)
    near = {"from": own["at"] - _AROUND, "to": own["at"] + _AROUND, "earliest": own["at"] - _LIFETIME}
    yield from _linked(connection, _HANDED_ON_BY, own | near, "before")
    for delivery in hop.deliveries:
        last = delivery["last_attempt_at"]
        around = own | {"from": last - _AROUND, "to": last + _AROUND}
        if delivery["next_queue_id"]:
            forwarded = around | {"other": delivery["next_queue_id"]}
            yield from _linked(connection, _SLOT_THEN, forwarded, "forwarded from")
        if delivery["queued_as"]:
            claimed = around | {"other": delivery["queued_as"], "relay": delivery["relay"]}
            yield from _linked(connection, _QUEUED_AS, claimed, "after")
    yield from _linked(connection, _MADE_FROM, later, "made from")
    yield from _linked(connection, _REQUEUED, later, "requeued from")


def _linked(connection: "Connection", query: str, parameters: dict[str, Any], how: str) -> Iterator[Link]:
    for key in _keys(connection, query, parameters):
        yield Link(key, how)


def _keys(connection: "Connection", query: str, parameters: dict[str, Any]) -> list[Key]:
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        return [(arrived_at, queue_id, host) for arrived_at, queue_id, host in cursor.fetchall()]


def _rows(connection: "Connection", query: str, parameters: Sequence[Any]) -> "list[Record]":
    with connection.cursor(cursor_factory=RealDictCursor) as cursor:
        cursor.execute(query, parameters)
        return [dict(row) for row in cursor.fetchall()]
