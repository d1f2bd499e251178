"""Text from a log made safe for a terminal, and cut to fit. What a log holds was written by strangers."""

import sys
from collections.abc import Iterable
from typing import Final

from rich.cells import cell_len, chop_cells

_CONTROL_PICTURES: Final = {code: chr(0x2400 + code) for code in range(0x20)} | {0x7F: "\u2421"}
# C1 controls are escape sequences to some terminals; the others turn or hide the text beside them.
_INVISIBLE: Final = (
    *range(0x80, 0xA0), 0xAD, 0x061C, 0x180E, *range(0x200B, 0x2010), *range(0x2028, 0x202F), *range(0x2060, 0x2070),
    *range(0xD800, 0xE000), 0xFEFF, *range(0xFFF9, 0xFFFC), *range(0xE0000, 0xE0080),
)  # fmt: skip
_PLAIN: Final = _CONTROL_PICTURES | dict.fromkeys(_INVISIBLE, "\ufffd")


def plain(text: str) -> str:
    """Return *text* with every character that could move the cursor, colour, turn or hide text made visible."""
    return text.translate(_PLAIN)


def plain_lines(text: str) -> str:
    """Return *text* as `plain` does, but with its line ends."""
    return "\n".join(map(plain, text.split("\n")))


def for_terminal(lines: Iterable[str]) -> Iterable[str]:
    """Return *lines* as they are, for a file or a program; `plain` where standard output is a terminal."""
    return map(plain, lines) if sys.stdout.isatty() else lines


def cut_middle(text: str, width: int) -> str:
    """Return *text* in at most *width* terminal cells, with ``…`` for what had to leave its middle."""
    if cell_len(text) <= width:
        return text
    if width < 2:  # noqa: PLR2004 - no room for a character and the ellipsis
        return "…"[:width]
    left = width // 2
    return _head(text, left) + "…" + _head(text[::-1], width - left - 1)[::-1]


def cut_end(text: str, width: int) -> str:
    """Return *text* in at most *width* terminal cells, with ``…`` for an end that had to leave."""
    if cell_len(text) <= width:
        return text
    return _head(text, width - 1) + "…" if width > 0 else ""


def padded(text: str, width: int) -> str:
    """Return *text*, which fits, filled with spaces up to *width* terminal cells."""
    return text + " " * (width - cell_len(text))


def address(value: str | None) -> str:
    """Return an envelope address as people read it: ``<>`` for the null sender, ``?`` where it is not known."""
    if value is None:
        return "?"
    return plain(value) or "<>"


def _head(text: str, width: int) -> str:
    return chop_cells(text[: width + 1], width)[0] if width > 0 else ""
