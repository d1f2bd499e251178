"""Rows as the text of a COPY: one line a row, with separators that no address holds, or escaped where one does."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec.structs import astuple
from psycopg2.extensions import cursor as Cursor  # noqa: N812 - it is a class
from psycopg2.sql import SQL, Composable, Composed, Identifier

from schemas.deliveries import DeliveryFrom, DeliveryTo, Rejection
from schemas.tls_sessions import TlsSession

SEPARATOR: Final = "\x01"
NULL: Final = "\x02"
_SEPARATOR: Final = SEPARATOR.encode()

_ESCAPES: Final = str.maketrans(
    {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", SEPARATOR: "\\x01", NULL: "\\x02"}
)
_ODD: Final = bytes([0, *range(3, 10), *range(11, 32), ord("\\")])
"""Bytes that no plain line holds; it has separators, markers of NULL and a newline of its own."""
_LOOKED_AT_TOGETHER: Final = 50
"""Rows: one with an odd value makes the others be escaped too."""


class Staged(msgspec.Struct, frozen=True):
    """A temporary table and the columns that are copied into it."""

    table: str
    target: str
    record: type[msgspec.Struct]
    columns: tuple[str, ...]

    @property
    def copy(self) -> str:
        """The COPY statement."""
        options = f"(DELIMITER E'\\x{ord(SEPARATOR):02x}', NULL E'\\x{ord(NULL):02x}')"
        return f"COPY {self.table} ({', '.join(self.columns)}) FROM STDIN WITH {options}"

    @property
    def create(self) -> str:
        """The statement that makes the table, empty again after every transaction."""
        return f"CREATE TEMPORARY TABLE {self.table} (LIKE {self.target}) ON COMMIT DELETE ROWS"


def _columns(record: type[msgspec.Struct]) -> tuple[str, ...]:
    return tuple(field for field in record.__struct_fields__ if field != "version")


def _staged(target: str, record: type[msgspec.Struct]) -> Staged:
    return Staged(f"staged_{target.removeprefix('delivery_')}", target, record, _columns(record))


FROM: Final = _staged("delivery_from", DeliveryFrom)
TO: Final = _staged("delivery_to", DeliveryTo)
NOQUEUE: Final = _staged("noqueue", Rejection)
TLS_SESSIONS: Final = _staged("tls_sessions", TlsSession)


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
    """Return *rows* as COPY text; *columns* are all their fields but the version, which comes first."""
    with_history = columns[-1] == "history"
    blocks = []
    for start in range(0, len(rows), _LOOKED_AT_TOGETHER):
        values = [astuple(row)[1:] for row in rows[start : start + _LOOKED_AT_TOGETHER]]
        blocks.append((_plain_with_history(values) if with_history else _plain(values)) or _escaped(values))
    return b"".join(blocks)


def _plain_with_history(rows: Sequence[tuple[Any, ...]]) -> bytes | None:
    """Return *rows* as `_plain` does; their last column is a list, whose entries have tabs."""
    text = _plain([values[:-1] for values in rows])
    if text is None:
        return None
    ends = [
        b"%s%s\n" % (_SEPARATOR, _array(values[-1]).translate(_ESCAPES).encode() if values[-1] else b"{}")
        for values in rows
    ]
    return b"".join([line + end for line, end in zip(text.split(b"\n"), ends, strict=False)])  # after the last: nothing


def _plain(rows: Sequence[tuple[Any, ...]]) -> bytes | None:
    """Return *rows* as they are; None where a value holds what would have to be escaped."""
    lines = [
        SEPARATOR.join([v if v.__class__ is str else NULL if v is None else str(v) for v in values])
        for values in rows  # millions of times an hour
    ]
    lines.append("")
    text = "\n".join(lines).encode()
    # One look at all of them instead of one at each value.
    nulls = sum([values.count(None) for values in rows])
    if (
        len(text.translate(None, _ODD)) != len(text)
        or text.count(b"\n") != len(rows)
        or text.count(_SEPARATOR) != (len(rows[0]) - 1) * len(rows)
        or text.count(NULL.encode()) != nulls
    ):
        return None
    return text


def _escaped(rows: Sequence[tuple[Any, ...]]) -> bytes:
    return b"".join(
        SEPARATOR.join([NULL if v is None else _text(v).translate(_ESCAPES) for v in values]).encode() + b"\n"
        for values in rows
    )


def _text(value: object) -> str:
    return _array(value) if isinstance(value, list) else str(value)


def _array(entries: list[str]) -> str:
    quoted = (entry.replace("\\", "\\\\").replace('"', '\\"') for entry in entries)
    return "{" + ",".join(f'"{entry}"' for entry in quoted) + "}"
