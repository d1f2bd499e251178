"""Conditions in SQL: every piece of SQL is written here or in a search, every value is a parameter."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final

import msgspec
from psycopg2.sql import SQL, Composable

from web.searches.addresses import Asked, folded, like, spellings

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

    from web.searches.records import Record

DEFAULT_WINDOW: Final = timedelta(hours=24)
FETCHED_AT_ONCE: Final = 2000
"""Rows of a page: what is looked up for them is looked up for all of a page."""
_FACTOR: Final = 4
MOST_NAMES: Final = 1000
"""Names that are looked up one by one; where more fit, rows that have one are found soon by looking through them."""


class Condition(msgspec.Struct, frozen=True):
    """A piece of SQL that is true or false, and its parameters."""

    sql: Composable
    parameters: tuple[Any, ...] = ()


def condition(sql: str, *parameters: object) -> Condition:
    """Return the condition of *sql*, which this program wrote, with ``%s`` for each parameter."""
    return Condition(SQL(sql), parameters)


def joined(conditions: Sequence[Condition], word: str = " AND ") -> Condition:
    """Return the conditions joined with *word*; true without any."""
    if not conditions:
        return condition("true")
    return Condition(
        SQL("({})").format(SQL(word).join(c.sql for c in conditions)),
        tuple(parameter for c in conditions for parameter in c.parameters),
    )


def message_id_condition(column: str, message_id: str) -> Condition:
    """Return that *column* is *message_id*, given with or without ``<>``."""
    return condition(f"{column} = %s", message_id.strip().removeprefix("<").removesuffix(">"))


def domain_of(column: str) -> str:
    """Return the SQL expression of an address's domain that has an index (``sinks/migrations/0015_domains.sql``)."""
    return f"(CASE WHEN strpos({column}, '@') > 0 THEN lower(split_part({column}, '@', -1)) END)"


def address_condition(
    column: str, asked: Asked, names: Sequence[str] | None = None, *, weighed: bool = True
) -> Condition:
    """Return what *asked* means for *column*; *names* are those that fit it, if they are known.

    If they are not to be *weighed*, the planner does not see them: it would look up how frequent each is, in each
    partition, which may take longer than the search.
    """
    match asked.kind:
        case "whole" if names is None:
            if len(asked.values) == 1:  # keeps the order of an index that goes on with the time
                return condition(f"{column} = %s", *asked.values)
            return condition(f"{column} = ANY(%s)", list(asked.values))
        case "domain":
            return condition(f"{domain_of(column)} = %s", *asked.values)
        case _ if names is not None:
            values = "%s" if weighed else "ARRAY(SELECT unnest(%s::text[]))"
            return condition(f"{column} = ANY({values})", list(names))
        case _:
            return condition(f"lower({column}) LIKE %s", *asked.values)


def found(connection: "Connection", query: Condition, fields: Sequence[str]) -> "Iterator[Record]":
    """Yield what *query* selects, fetched as it is needed."""
    with connection.cursor(name="search") as cursor:
        cursor.itersize = FETCHED_AT_ONCE
        cursor.execute(query.sql, query.parameters)
        for row in cursor:
            yield dict(zip(fields, row, strict=True))


def pages(connection: "Connection", query: Condition, at_once: int) -> Iterator[list[tuple[Any, ...]]]:
    """Yield what *query* selects, fetched as it is needed: *at_once* first, and then more and more."""
    with connection.cursor(name="pages") as cursor:
        cursor.execute(query.sql, query.parameters)
        while page := cursor.fetchmany(at_once):
            yield page
            if len(page) < at_once:
                return
            at_once = min(FETCHED_AT_ONCE, at_once * _FACTOR)


def statuses(values: Iterable[str]) -> list[str]:
    """Return statuses as they are stored: lower case."""
    return [value.strip().lower() for value in values]


def client_condition(
    name: str, address: str, text: str, names: Sequence[str] | None = None, *, weighed: bool = True
) -> Condition:
    """Return that the client is *text*: an IP address, a host name, or a pattern of a name with ``*``.

    *names* are those that fit it, if they are known, and *weighed* as in `address_condition`.
    """
    client = text.strip()
    if "*" in client:
        return address_condition(name, Asked("pattern", (like(client),)), names, weighed=weighed)
    named = condition(f"{name} = ANY(%s)", list(names or spellings(client)))
    return joined([named, condition(f"{address} = %s", _as_logged(client))], " OR ")


def _as_logged(address: str) -> str:
    """Return an IP address as Postfix writes it; anything else as it is."""
    try:
        return str(ip_address(address.removeprefix("[").removesuffix("]").lower().removeprefix("ipv6:")))
    except ValueError:
        return address


def known_names(connection: "Connection", kind: str, pattern: str) -> list[str] | None:
    """Return the names of *kind* in the database that fit the LIKE *pattern*; None where there are too many to list."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT name FROM known_names WHERE kind = %s AND lower(name) LIKE %s LIMIT %s",
            (kind, pattern, MOST_NAMES + 1),
        )
        names = [name for (name,) in cursor.fetchall()]
    return names if len(names) <= MOST_NAMES else None


def all_spellings(connection: "Connection", kind: str, address: str) -> list[str]:
    """Return the ways in which rows may spell a whole address or name of *kind*, the likely ones first.

    A log has an address as whoever sent it wrote it: capital letters may stand anywhere.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT name FROM known_names WHERE kind = %s AND lower(name) = %s LIMIT %s",
            (kind, folded(address), MOST_NAMES),
        )
        return list(dict.fromkeys([*spellings(address), *(name for (name,) in cursor.fetchall())]))
