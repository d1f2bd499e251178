"""``deliveries``: what became of which message for which recipient, newest first."""

from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Final

from psycopg2.sql import SQL

from web.searches.addresses import asked, like, spellings
from web.searches.conditions import (
    DEFAULT_WINDOW,
    FETCHED_AT_ONCE,
    Condition,
    all_spellings,
    found,
    known_names,
    pages,
)
from web.searches.delivery_keys import Expected, keys, sides
from web.searches.delivery_query import FIELDS, SELECTED, DeliverySearch, Known, rows_of
from web.searches.lookups import looked_up
from web.searches.windows import windows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

    from web.searches.records import Record

_NEWEST: Final = "SELECT max(arrived_at) FROM delivery_from WHERE arrived_at < now() + interval '1 hour'"
_NEWEST_AT_ALL: Final = "SELECT max(arrived_at) FROM delivery_from"
_LATELY: Final = timedelta(days=2)

__all__ = ["FIELDS", "DeliverySearch", "newest", "search"]


def newest(connection: "Connection") -> datetime | None:
    """Return when the newest message arrived, None without any; a wrong clock's future only without others."""
    # Nearly always it is of today: that bound, whatever this clock says, only leaves old days out of the plan.
    lately = datetime.now(UTC) - _LATELY
    with connection.cursor() as cursor:
        for asked, bounds in ((f"{_NEWEST} AND arrived_at >= %s", (lately,)), (_NEWEST, ()), (_NEWEST_AT_ALL, ())):
            cursor.execute(asked, bounds)
            rows: list[tuple[datetime | None]] = cursor.fetchall()
            if rows[0][0] is not None:
                break
    return rows[0][0]


def search(connection: "Connection", wanted: DeliverySearch) -> "Iterator[Record]":
    """Yield the deliveries that fit, newest first, fetched as they are needed."""
    rows = _rows(connection, wanted)
    while page := list(islice(rows, FETCHED_AT_ONCE)):
        for row, more in zip(page, looked_up(connection, page), strict=True):
            yield {field: more[field] if field in more else row[field] for field in FIELDS}


def _rows(connection: "Connection", wanted: DeliverySearch) -> "Iterator[Record]":
    last = newest(connection)
    since = _since(wanted, last)
    known = _known(connection, wanted)
    if any(not names for names in known.values()):
        return
    expected = _expected(connection, wanted, last, known)
    if not wanted.limit or since is None:
        yield from _rows_of_keys(connection, keys(wanted, since, wanted.until, known, expected), wanted, wanted.limit)
        return
    left = before = wanted.limit
    spans = windows(
        last, since, wanted.until, expected.days_of(left), lambda: left / (before - left) if left < before else None
    )
    for begin, end in spans:
        before = left
        for row in _rows_of_keys(connection, keys(wanted, begin, end, known, expected), wanted, left):
            yield row
            left -= 1
        if not left:
            return


def _rows_of_keys(
    connection: "Connection", fitting: Condition, wanted: DeliverySearch, limit: int
) -> "Iterator[Record]":
    """Yield the rows of the keys that are *fitting*, *limit* at most; 0: all."""
    left = limit
    for page in pages(connection, fitting, min(limit or FETCHED_AT_ONCE, FETCHED_AT_ONCE)):
        for row in found(connection, rows_of(page, wanted.status, left), SELECTED):
            yield row
            left -= 1 if limit else 0
        if limit and not left:
            return


def _known(connection: "Connection", wanted: DeliverySearch) -> Known:
    known = {}
    for field in ("sender", "recipient", "client"):
        text: str | None = getattr(wanted, field)
        name = (text or "").strip().removeprefix("<").removesuffix(">")
        if not name.replace("*", ""):  # nothing is asked for; or all would fit, and none at all too
            continue
        names = known_names(connection, field, like(name)) if "*" in name else _unlikely(connection, field, name)
        if names is not None:
            known[field] = names
    return known


def _unlikely(connection: "Connection", field: str, name: str) -> list[str] | None:
    """Return all spellings of a whole name where rows have it in some that are not likely."""
    if asked(name).kind != "whole":
        return None
    names = all_spellings(connection, field, name)
    return names if len(names) > len(spellings(name)) else None


def _since(wanted: DeliverySearch, last: datetime | None) -> datetime | None:
    if wanted.since is None and last is not None and wanted.queue_id is None and wanted.message_id is None:
        return (min(last, wanted.until) if wanted.until else last) - DEFAULT_WINDOW
    return wanted.since


def _expected(connection: "Connection", wanted: DeliverySearch, last: datetime | None, known: Known) -> Expected:
    """Return what the server expects of the last day in which the search looks, without looking."""
    until = wanted.until or last
    if until is None:
        return Expected()
    rows: list[float | None] = []
    with connection.cursor() as cursor:
        for side in sides(wanted, until - timedelta(days=1), wanted.until, known):
            if side is None:
                rows.append(None)
                continue
            cursor.execute(SQL("EXPLAIN (FORMAT JSON) ") + side.sql, side.parameters)
            [([plan],)] = cursor.fetchall()
            rows.append(float(plan["Plan"]["Plan Rows"]))
    return Expected(*rows)
