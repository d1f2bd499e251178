"""Rows as the text of a COPY: one line a row, in CSV that is nearly JSON, since the encoder of JSON is very fast."""

import io
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec.structs import astuple
from psycopg2.extensions import cursor as Cursor  # noqa: N812 - it is a class
from psycopg2.sql import SQL, Composable, Composed, Identifier

from schemas.deliveries import DeliveryFrom, DeliveryTo, Rejection
from schemas.tls_sessions import TlsSession
from sinks.batches import Batch

_ENCODE_LINES: Final = msgspec.json.Encoder().encode_lines

_Ends = tuple[bytes, bytes]
"""What stands between two JSON arrays, and between two rows: no text has the former, since JSON escapes newlines."""
_ENDS: Final[_Ends] = (b"]\n[", b"\n")
_ENDS_AFTER_EMPTY_LIST: Final[_Ends] = (b",[]]\n[", b",{}\n")

_CODED_TOGETHER: Final = 500
"""Rows: one with an odd value makes the others be written value by value too."""
_COPIED_AT_ONCE: Final = 4 * 1024 * 1024
"""Bytes."""


class Staged(msgspec.Struct, frozen=True):
    """A temporary table, the columns that are copied into it, and the table that its rows are for."""

    table: str
    target: str
    key: tuple[str, ...]
    """The target's primary key."""
    time: str
    """The column of the key that says on which day's partition a row is."""
    record: type[msgspec.Struct]
    columns: tuple[str, ...]

    @property
    def copy(self) -> str:
        """The COPY statement."""
        options = "FORMAT csv, QUOTE '\"', ESCAPE E'\\\\', NULL 'null'"
        return f"COPY {self.table} ({', '.join(self.columns)}) FROM STDIN WITH ({options})"

    @property
    def create(self) -> str:
        """The statement that makes the table, empty again after every transaction."""
        return f"CREATE TEMPORARY TABLE {self.table} (LIKE {self.target}) ON COMMIT DELETE ROWS"


def _columns(record: type[msgspec.Struct]) -> tuple[str, ...]:
    return tuple(field for field in record.__struct_fields__ if field != "version")


def _staged(target: str, key: tuple[str, ...], record: type[msgspec.Struct]) -> Staged:
    (time,) = (column for column in key if column == "at" or column.endswith("_at"))
    return Staged(f"staged_{target.removeprefix('delivery_')}", target, key, time, record, _columns(record))


FROM: Final = _staged("delivery_from", ("arrived_at", "queue_id", "host"), DeliveryFrom)
TO: Final = _staged("delivery_to", (*FROM.key, "recipient", "orig_recipient"), DeliveryTo)
NOQUEUE: Final = _staged("noqueue", ("at", "host", "digest"), Rejection)
TLS_SESSIONS: Final = _staged("tls_sessions", ("host", "pid", "at", "digest"), TlsSession)

TABLES: Final = (FROM, TO, NOQUEUE, TLS_SESSIONS)
"""All that hold mail, in the order in which rows are written."""


Copies = Sequence[tuple[Staged, bytes]]
"""The COPY texts of a batch."""


def copies_of(batch: Batch) -> Copies:
    """Return the COPY texts of *batch*. Raises ValueError for a text that no encoding has."""
    rows: tuple[tuple[Staged, Mapping[Any, msgspec.Struct]], ...] = (
        (FROM, batch.messages),
        (TO, batch.deliveries),
        (NOQUEUE, batch.rejections),
        (TLS_SESSIONS, batch.sessions),
    )
    return [(staged, copy_text(staged.columns, list(found.values()))) for staged, found in rows if found]


def stage(cursor: Cursor, copies: Copies) -> None:
    """Copy the rows of a batch into the temporary tables."""
    for staged, text in copies:
        # In large pieces: for each one it waits until the thread that prepares the next batch lets go of the GIL.
        cursor.copy_expert(staged.copy, io.BytesIO(text), _COPIED_AT_ONCE)


def selected(column: str) -> Composed:
    """Return what selects a column as records have it: a time as text."""
    if column == "at" or column.endswith("_at"):
        return SQL('to_char({}, \'YYYY-MM-DD"T"HH24:MI:SS.US"Z"\')').format(Identifier(column))
    return SQL("{}").format(Identifier(column))


def read_rows(cursor: Cursor, staged: Staged, relation: str, rest: Composable, given: Sequence[Any]) -> list[Any]:
    """Return the rows of *relation*, a table as the target of *staged* is, as records; *rest* says which."""
    columns = SQL(", ").join(map(selected, staged.columns))
    cursor.execute(SQL("SELECT {} FROM {} {}").format(columns, Identifier(relation), rest), given)
    return [staged.record(**dict(zip(staged.columns, row, strict=True))) for row in cursor.fetchall()]


def copy_text(columns: Sequence[str], rows: Sequence[msgspec.Struct]) -> bytes:
    """Return *rows* as COPY text; *columns* are all their fields but the version, which comes first.

    Raises ValueError for a text that no encoding has.
    """
    values = [astuple(row)[1:] for row in rows]
    blocks = []
    ends = _ENDS
    if columns[-1] == "history":  # a list, and nearly always empty
        if repeated := [row for row in values if row[-1]]:
            blocks = [_by_value(row) for row in repeated]
            values = [row for row in values if not row[-1]]
        ends = _ENDS_AFTER_EMPTY_LIST
    for start in range(0, len(values), _CODED_TOGETHER):
        block = values[start : start + _CODED_TOGETHER]
        blocks.append(_as_json(block, ends) or b"".join(map(_by_value, block)))
    return b"".join(blocks)


def _as_json(rows: Sequence[tuple[Any, ...]], ends: _Ends) -> bytes | None:
    """Return *rows* as lines of JSON arrays, without the brackets; None where CSV would mean another thing."""
    text: bytes = _ENCODE_LINES(rows)
    # CSV knows the escapes of a quote and of a backslash, and takes all others as they are written.
    if b"\\" in text and b"\\" in text.replace(b"\\\\", b"").replace(b'\\"', b""):
        return None
    return (text[1:] + b"[").replace(*ends)


def _by_value(row: tuple[Any, ...]) -> bytes:
    return (",".join(["null" if value is None else _quoted(value) for value in row]) + "\n").encode()


def _quoted(value: object) -> str:
    text = _array(value) if isinstance(value, list) else str(value)
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _array(entries: list[str]) -> str:
    return "{" + ",".join(map(_quoted, entries)) + "}"
