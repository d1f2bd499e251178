"""How staged rows get into the tables: merged with what is there, and parts of messages moved to what they are part of.

The statements are in ``sinks/queries``; the rules by which two rows become one, in ``sinks/migrations``.
"""

from collections.abc import Iterable
from datetime import datetime
from importlib.resources import files
from typing import Any, Final

from psycopg2.extensions import cursor as Cursor  # noqa: N812 - it is a class
from psycopg2.sql import SQL

from sinks.batches import Batch
from sinks.staging import FROM, TABLES, TO, copies_of, read_rows, stage
from sinks.withholding import Withheld


def query(name: str) -> str:
    """Return the statement in ``sinks/queries/{name}.sql``."""
    return (files("sinks") / "queries" / f"{name}.sql").read_text(encoding="utf-8")


MERGE_TO: Final = query("merge_to")
"""Merges the deliveries that are staged."""
_PREPARED: Final = {
    "merge_from": query("merge_from"),
    "merge_to": MERGE_TO,
    "insert_noqueue": query("insert_noqueue"),
    "insert_tls_sessions": query("insert_tls_sessions"),
}
_MERGE_READINGS: Final = query("merge_readings")
_FIND_PARTS: Final = query("find_parts")
_FIND_JOINS: Final = query("find_joins")
_MOVE_FROM: Final = query("move_from")
_MOVE_TO: Final = query("move_to")
_WITHDRAW_FROM: Final = query("withdraw_from")
_WITHDRAW_TO: Final = query("withdraw_to")
_KEEP_PARTS: Final = query("keep_parts")


class Merging:
    """Merges what is staged over a connection that was prepared for it."""

    def __init__(self, lifetime_days: float) -> None:
        """Let a part join a message that arrived *lifetime_days* before it at most: no queue holds one for longer."""
        self._lifetime: Final = f"{lifetime_days} days"

    def prepare(self, cursor: Cursor) -> None:
        """Make the temporary tables and the statements that the connection needs."""
        for staged in TABLES:
            cursor.execute(staged.create)
        cursor.execute("CREATE TEMPORARY TABLE part_joins (part_arrived_at timestamptz, queue_id text, host text,"
                       " arrived_at timestamptz, origin smallint) ON COMMIT DELETE ROWS")  # fmt: skip
        for name, statement in _PREPARED.items():
            cursor.execute(f"PREPARE {name} AS {statement}")
        cursor.execute("CREATE TEMPORARY TABLE part_candidates (arrived_at timestamptz, queue_id text, host text,"
                       " origin smallint) ON COMMIT DELETE ROWS")  # fmt: skip

    def merge(self, cursor: Cursor, batch: Batch, withheld: Withheld | None) -> None:
        """Merge *batch*, whose rows are staged, and take back what it withdraws."""
        kept = _withdraw(cursor, batch)
        if batch.messages:
            _merge_from(cursor, len(batch.messages))
        if batch.deliveries:
            cursor.execute("EXECUTE merge_to")
        if batch.rejections:
            cursor.execute("EXECUTE insert_noqueue")
        if batch.sessions:
            cursor.execute("EXECUTE insert_tls_sessions")
        if kept or batch.may_hold_parts():
            self.join_parts(cursor, *batch.span(), withheld, kept)

    def join_parts(
        self, cursor: Cursor, first: str | datetime, last: str | datetime, withheld: Withheld | None, kept: int = 0
    ) -> None:
        """Move part rows into the messages that they turn out to belong to; one a message at a time.

        What is staged arrived between *first* and *last*; *kept* are noted as candidates already.
        """
        cursor.execute(_FIND_PARTS, {"first": first, "last": last, "lifetime": self._lifetime})
        if cursor.rowcount + kept == 0:
            return
        cursor.execute("SELECT min(arrived_at), max(arrived_at) FROM part_candidates")
        [(first, last)] = cursor.fetchall()
        given = {"first": first, "last": last, "lifetime": self._lifetime}
        cursor.execute(_FIND_JOINS, given)
        while cursor.rowcount > 0:
            cursor.execute("DELETE FROM staged_from; DELETE FROM staged_to")
            cursor.execute(_MOVE_FROM)
            moved = cursor.rowcount
            cursor.execute(_MOVE_TO)
            if withheld is not None and withheld.until:
                _withhold_staged(cursor, withheld)
            _merge_from(cursor, moved)
            cursor.execute("EXECUTE merge_to")
            cursor.execute("DELETE FROM part_joins")
            cursor.execute(_FIND_JOINS, given)


def columns_of(rows: Iterable[tuple[Any, ...]]) -> list[list[Any]]:
    """Return the columns of *rows*, of which there is one at least, as ``unnest`` takes them."""
    return [list(column) for column in zip(*rows, strict=True)]


def _withdraw(cursor: Cursor, batch: Batch) -> int:
    """Delete the rows that the tombstones name; return how many messages stay as parts of what comes instead.

    Those have what the stage did not know when it withdrew them: recipients, or a parent, that joined them here.
    """
    if batch.withdrawn_deliveries:
        cursor.execute(_WITHDRAW_TO, columns_of(batch.withdrawn_deliveries))
    if not batch.withdrawn:
        return 0
    keys = columns_of(batch.withdrawn)
    cursor.execute(_WITHDRAW_FROM, keys)
    cursor.execute(_KEEP_PARTS, keys)
    return cursor.rowcount


def _merge_from(cursor: Cursor, staged: int) -> None:
    """Merge the messages that are *staged*, so many."""
    cursor.execute("EXECUTE merge_from")
    if cursor.rowcount == staged:  # nearly always: each was new, or changed
        return
    cursor.execute("SELECT min(arrived_at), max(arrived_at) FROM staged_from")
    [(first, last)] = cursor.fetchall()
    cursor.execute(_MERGE_READINGS, {"first": first, "last": last})


def _withhold_staged(cursor: Cursor, withheld: Withheld) -> None:
    """Change what may not be stored of rows that are staged under the key of an older message than they came with."""
    old, given = SQL("WHERE arrived_at <= %s"), (withheld.until,)
    batch = Batch()
    for message in read_rows(cursor, FROM, FROM.table, old, given):
        batch.messages[message.host, message.queue_id, message.arrived_at] = message
    for row in read_rows(cursor, TO, TO.table, old, given):
        batch.deliveries[row.host, row.queue_id, row.arrived_at, row.recipient, row.orig_recipient] = row
    if withheld.apply(batch, batch.days()):
        for staged in (FROM, TO):
            cursor.execute(f"DELETE FROM {staged.table} WHERE arrived_at <= %s", given)  # noqa: S608 - a name of ours
        stage(cursor, copies_of(batch))
