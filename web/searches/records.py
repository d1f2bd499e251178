"""What a search finds, as JSON and CSV: field names, their order and the forms of values are an interface."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

Record = Mapping[str, Any]
"""Field name → str, int, float, datetime (aware) or None."""

# Some terminals act on C1 controls; the others turn or hide text. As JSON escapes they are the same data.
_ESCAPED: Final = {
    code: f"\\u{code:04x}"
    for code in (
        *range(0x7F, 0xA0), 0xAD, 0x061C, 0x180E, *range(0x200B, 0x2010), *range(0x2028, 0x202F),
        *range(0x2060, 0x2070), 0xFEFF, *range(0xFFF9, 0xFFFC),
    )
} | {code: f"\\udb40\\u{0xDC00 + code - 0xE0000:04x}" for code in range(0xE0000, 0xE0080)}  # fmt: skip

_encode = msgspec.json.Encoder().encode


def time_text(moment: datetime) -> str:
    """Return the time as RFC 3339 in UTC with six digits."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "Z"


def json_line(record: Record) -> str:
    """Return the record as one line of JSON, without its end."""
    values = {name: time_text(v) if isinstance(v, datetime) else v for name, v in record.items()}
    return _encode(values).decode().translate(_ESCAPED)


def json_document(value: object) -> str:
    """Return *value*, which holds no times, as an indented JSON document, without the end of its last line."""
    return msgspec.json.format(_encode(value), indent=2).decode().translate(_ESCAPED)


def csv_lines(fields: Sequence[str], records: Iterable[Record]) -> Iterator[str]:
    """Yield CSV (RFC 4180, but lines end with LF): a header, then the records; an unknown value is an empty field.

    Values are as they are. A spreadsheet may take one that begins with ``=`` for a formula: import columns as text.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")

    def line(values: Iterable[object]) -> str:
        buffer.seek(0)
        buffer.truncate()
        writer.writerow(values)
        return buffer.getvalue().removesuffix("\n")

    yield line(fields)
    for record in records:
        yield line(time_text(v) if isinstance(v, datetime) else v for v in map(record.__getitem__, fields))
