"""Lines for people: columns that fit the terminal, long addresses cut in the middle, what went wrong below."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Final

import msgspec
from rich.cells import cell_len
from rich.text import Text

from journal_postfix.rendering.characters import cut_end, cut_middle, padded

_LOOK_AHEAD: Final = 200
"""Rows that decide how wide columns are; what comes after is cut to that."""
_GAP: Final = 2


class Column(msgspec.Struct, frozen=True):
    """One column."""

    name: str
    least: int
    """Cells that it gets even on a narrow terminal, if its values need them."""
    elastic: bool = False
    """Shares what is left; a value too long is cut in its middle."""
    right: bool = False


class Row(msgspec.Struct, frozen=True):
    """One row: plain texts, one for each column, and perhaps a line below."""

    cells: tuple[str, ...]
    styles: tuple[str, ...]
    below: str = ""


def table_lines(columns: Sequence[Column], rows: Iterable[Row], width: int) -> Iterator[Text]:
    """Yield the header and the rows as lines of at most *width* cells. Reads ahead a little, never everything."""
    iterator = iter(rows)
    first = list(islice(iterator, _LOOK_AHEAD))
    widths = column_widths(columns, [row.cells for row in first], width)
    yield _line(columns, [c.name for c in columns], ["bold"] * len(columns), widths)
    for row in chain(first, iterator):
        yield _line(columns, row.cells, row.styles, widths)
        if row.below:
            yield Text("    " + cut_end(row.below, width - 4), "dim")


def column_widths(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int) -> list[int]:
    """Return the columns' widths in cells: what their values need, elastic ones cut so that a line fits *width*."""
    need = [max(map(cell_len, (c.name, *(row[i] for row in rows)))) for i, c in enumerate(columns)]
    left = width - _GAP * (len(columns) - 1) - sum(n for n, c in zip(need, columns, strict=True) if not c.elastic)
    elastic = sorted((i for i, c in enumerate(columns) if c.elastic), key=need.__getitem__)
    for done, i in enumerate(elastic):  # who needs little leaves the rest to the others
        need[i] = max(min(columns[i].least, need[i]), min(need[i], left // (len(elastic) - done)))
        left -= need[i]
    return need


def _line(columns: Sequence[Column], cells: Sequence[str], styles: Sequence[str], widths: Sequence[int]) -> Text:
    line = Text(no_wrap=True)
    for i, (column, cell, style, width) in enumerate(zip(columns, cells, styles, widths, strict=True)):
        cut = cut_middle(cell, width) if column.elastic else cut_end(cell, width)
        last = i == len(columns) - 1
        filled = " " * (width - cell_len(cut)) + cut if column.right else cut if last else padded(cut, width)
        line.append(filled + ("" if last else " " * _GAP), style)
    return line
