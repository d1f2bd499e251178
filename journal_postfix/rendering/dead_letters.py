"""Dead letters for people: a table, and one in full."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final

from rich.text import Text

from journal_postfix.dead_letters import Letter
from journal_postfix.rendering.characters import plain
from journal_postfix.rendering.table import Column, Row, table_lines

_COLUMNS: Final = (
    Column("ID", 2, right=True),
    Column("WRITTEN", 19),
    Column("STAGE", 8),
    Column("WHAT", 20, elastic=True),
)
_BYTES_A_LINE: Final = 16
_MOST_SHOWN: Final = 16 * 1024


def letter_lines(letters: Iterable[Letter], width: int) -> Iterator[Text]:
    """Yield a table of at most *width* cells, with the reason below each letter."""
    rows = (
        Row(
            (str(letter.number), _moment(letter.letter.at), plain(letter.letter.stage), plain(letter.where)),
            ("bold", "dim", "", ""),
            plain(letter.letter.reason) + (f" (written {letter.times} times)" if letter.times > 1 else ""),
        )
        for letter in letters
    )
    return table_lines(_COLUMNS, rows, width)


def letter_in_full(letter: Letter) -> Iterator[Text]:
    """Yield all that is known of a letter, and the bytes that were kept."""
    found = letter.letter
    length = f"{found.length:,} bytes" + ("" if letter.whole else f", {len(found.value):,} of them kept")
    facts = {
        "id": str(letter.number),
        "written": _moment(found.at) + (f", {letter.times} times" if letter.times > 1 else ""),
        "stage": found.stage,
        "what": letter.where,
        "reason": found.reason,
        "key": "" if found.key is None else found.key.decode("utf-8", "backslashreplace"),
        "length": length,
    }
    for name, value in facts.items():
        if value:
            yield Text.assemble((f"{name:<8}", "bold"), plain(value))
    if found.value:
        yield Text()
        yield from _shown(found.value)


def _shown(value: bytes) -> Iterator[Text]:
    """Yield the bytes: as text where they are, else as numbers; the first 16 KiB of many."""
    first = value[:_MOST_SHOWN]
    try:
        text = first.decode()
    except UnicodeDecodeError:
        for at in range(0, len(first), _BYTES_A_LINE):
            some = first[at : at + _BYTES_A_LINE]
            letters = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in some)  # noqa: PLR2004 - ASCII
            yield Text(f"{at:06x}  {some.hex(' '):<{3 * _BYTES_A_LINE}} {letters}")
    else:
        for line in text.splitlines():
            yield Text(plain(line))
    if len(first) < len(value):
        yield Text(f"… and {len(value) - len(first):,} bytes more: --raw", "dim")


def _moment(at: str) -> str:
    try:
        return datetime.fromisoformat(at).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except ValueError:
        return plain(at[:19])
