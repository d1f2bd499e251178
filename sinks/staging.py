"""Rows as the text of a COPY: one line a row, with separators that no address holds, or escaped where one does."""

import re
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
from msgspec.structs import astuple

from schemas.deliveries import DeliveryFrom, DeliveryTo, Rejection
from schemas.tls_sessions import TlsSession

SEPARATOR: Final = "\x01"
NULL: Final = "\x02"

_ESCAPES: Final = str.maketrans(
    {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", SEPARATOR: "\\x01", NULL: "\\x02"}
)
_odd = re.compile(r"[\x00\x03-\x1f\\]").search


class Staged(msgspec.Struct, frozen=True):
    """A temporary table and the columns that are copied into it."""

    table: str
    target: str
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


FROM: Final = Staged("staged_from", "delivery_from", _columns(DeliveryFrom))
TO: Final = Staged("staged_to", "delivery_to", _columns(DeliveryTo))
NOQUEUE: Final = Staged("staged_noqueue", "noqueue", _columns(Rejection))
TLS_SESSIONS: Final = Staged("staged_tls_sessions", "tls_sessions", _columns(TlsSession))


def copy_text(columns: Sequence[str], rows: Iterable[msgspec.Struct]) -> str:
    """Return *rows* as COPY text; *columns* are all their fields but the version, which comes first."""
    lines = []
    separators = len(columns) - 1
    for row in rows:
        values = astuple(row)[1:]
        line = SEPARATOR.join(
            [v if v.__class__ is str else NULL if v is None else _text(v) for v in values]  # millions of times an hour
        )
        # One look at the whole line instead of one at each value.
        if _odd(line) or line.count(SEPARATOR) != separators or line.count(NULL) != values.count(None):
            line = SEPARATOR.join([NULL if v is None else _text(v).translate(_ESCAPES) for v in values])
        lines.append(line)
    lines.append("")
    return "\n".join(lines)


def _text(value: object) -> str:
    return _array(value) if isinstance(value, list) else str(value)


def _array(entries: list[str]) -> str:
    quoted = (entry.replace("\\", "\\\\").replace('"', '\\"') for entry in entries)
    return "{" + ",".join(f'"{entry}"' for entry in quoted) + "}"
