"""Blocks of whole lines, wherever the input is cut."""

from hypothesis import given
from hypothesis import strategies as st

from producers.blocks import Block, Blocks, Overlong, Void
from schemas.dead_letters import MAX_VALUE

LONGEST = 8


def lines_of(pieces: list[bytes]) -> list[bytes | tuple[bytes, int]]:
    """Return lines, and overlong ones with their length, as a reader sees them."""
    blocks = Blocks(LONGEST)
    found = [one for piece in pieces for one in blocks.feed(piece)]
    last = blocks.end()
    lines: list[bytes | tuple[bytes, int]] = []
    for one in [*found, *([last] if last else [])]:
        if isinstance(one, Overlong):
            lines.append((one.head[:LONGEST], one.length))
        else:
            assert one.lines.endswith(b"\n")
            lines += [
                line if len(line) <= LONGEST else (line[:LONGEST], len(line)) for line in one.lines[:-1].split(b"\n")
            ]
    return lines


@given(st.lists(st.text("ab\n", max_size=30).map(str.encode)))
def test_where_the_input_is_cut_makes_no_difference(pieces: list[bytes]) -> None:
    whole = b"".join(pieces)
    expected = [
        line if len(line) <= LONGEST else (line[:LONGEST], len(line))
        for line in whole.removesuffix(b"\n").split(b"\n")
        if whole
    ]

    assert lines_of(pieces) == expected


@given(st.lists(st.text("a\0\n", max_size=30).map(str.encode)))
def test_every_byte_is_told_of_or_unfinished(pieces: list[bytes]) -> None:
    blocks, told = Blocks(LONGEST), 0
    for piece in pieces:
        for one in blocks.feed(piece):
            told += len(one.lines) if isinstance(one, Block) else one.length + isinstance(one, Overlong)
    assert told + blocks.unfinished == sum(map(len, pieces))


def test_a_line_behind_ever_so_many_nuls_is_one_by_itself() -> None:
    blocks = Blocks(LONGEST)
    assert blocks.feed(b"\0" * 100) == [Void(100)]
    assert blocks.feed(b"\0\0ab\n\0cd\n") == [Void(2), Block(b"ab\n\0cd\n")]
    assert blocks.feed(b"\0" * 100 + b"e") == [Void(100)]
    assert blocks.end() == Block(b"e\n")


def test_no_more_than_the_head_of_an_overlong_line_is_held() -> None:
    blocks = Blocks(LONGEST)
    for _ in range(100):
        assert blocks.feed(b"x" * 10_000) == []
        assert len(blocks._rest) <= MAX_VALUE

    assert blocks.unfinished == 1_000_000
    assert blocks.feed(b"y\nnext\n") == [Overlong(b"x" * MAX_VALUE, 1_000_001), Block(b"next\n")]
