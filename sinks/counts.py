"""The counts that statistics are made of: which table has those of which, and what becomes of them with old rows.

Triggers keep them (``sinks/migrations/0012_statistics.sql``). A partition that is dropped tells no trigger.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

import msgspec
from psycopg2.extensions import cursor as Cursor  # noqa: N812 - it is a class
from psycopg2.sql import SQL, Identifier


class Counts(msgspec.Struct, frozen=True):
    """A table of counts."""

    table: str
    time: str
    """Its hour or day."""
    key: tuple[str, ...]
    """What else is counted apart; beside these there is the shard."""
    number: str
    """Without it, nothing is counted in a row."""


COUNTS: Final[Mapping[str, tuple[Counts, ...]]] = {
    "delivery_from": (Counts("message_counts", "hour", ("host", "fate", "reason"), "messages"),),
    "delivery_to": (
        Counts("delivery_counts", "hour", ("host", "status", "reason"), "deliveries"),
        Counts("trouble_counts", "day", ("domain", "trouble"), "deliveries"),
    ),
    "noqueue": (
        Counts("reject_counts", "hour", ("host", "action", "reason"), "rejects"),
        Counts("client_counts", "day", ("client_address",), "rejects"),
    ),
}
"""The counts of each table."""

COUNT_TABLES: Final = tuple(counts.table for of_one in COUNTS.values() for counts in of_one)


def forget_day(cursor: Cursor, table: str, day: datetime) -> None:
    """Delete what is counted of *table*'s rows of a day, in the transaction that drops their partition.

    That has locked out those who write such rows: what they counted is committed.
    """
    for counts in COUNTS.get(table, ()):
        cursor.execute(
            SQL("DELETE FROM {0} WHERE {1} >= %(day)s AND {1} < %(day)s + interval '1 day'").format(
                Identifier(counts.table), Identifier(counts.time)
            ),
            {"day": day},
        )


def forget_nothing(cursor: Cursor, table: str, before: datetime) -> None:
    """Delete the counts of *table* before a time that come to zero: their rows went one by one."""
    for counts in COUNTS.get(table, ()):
        names = {
            "table": Identifier(counts.table),
            "time": Identifier(counts.time),
            "number": Identifier(counts.number),
            "key": SQL(", ").join(map(Identifier, (counts.time, *counts.key))),
        }
        # Locked first, so that they are still what they were when they are found to be zero.
        cursor.execute(SQL("SELECT FROM {table} WHERE {time} < %s FOR UPDATE").format(**names), (before,))
        cursor.execute(
            SQL(
                "DELETE FROM {table} USING (SELECT {key} FROM {table} WHERE {time} < %s GROUP BY {key} "
                "HAVING sum({number}) = 0) AS nothing WHERE ({own}) = ({theirs})"
            ).format(
                **names,
                own=SQL(", ").join(Identifier(counts.table, name) for name in (counts.time, *counts.key)),
                theirs=SQL(", ").join(Identifier("nothing", name) for name in (counts.time, *counts.key)),
            ),
            (before,),
        )
