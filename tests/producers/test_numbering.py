"""Identical lines of a second have numbers, the same after reading again from the anchor."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.numbering import Numbering


def numbers(lines: list[tuple[int, int]], numbering: Numbering, first: int = 0) -> list[int]:
    return [numbering.enter(second, first + at).number(line) for at, (second, line) in enumerate(lines)]


def test_identical_lines_of_a_second_are_counted_even_if_others_come_between() -> None:
    lines = [(1, 7), (1, 7), (2, 7), (1, 7), (2, 7), (3, 7), (2, 7), (1, 7), *((at, 7) for at in range(4, 20)), (1, 7)]

    assert numbers(lines, Numbering()) == [0, 1, 0, 2, 1, 0, 2, 3, *[0] * 16, 0]


def test_of_a_second_with_too_many_lines_only_the_latest_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("producers.numbering.MOST_LINES", 50)
    second = Numbering().enter(1, 0)
    for line in range(1000):
        second.number(line)
        second.number(line)
        assert len(second.seen) <= 50
        assert len(second.repeats) <= 50


@given(st.lists(st.tuples(st.integers(0, 24), st.integers(0, 2)), min_size=1, max_size=200), st.data())
def test_reading_again_from_the_anchor_gives_the_same_numbers(
    lines: list[tuple[int, int]], data: st.DataObject
) -> None:
    stop = data.draw(st.integers(1, len(lines)))
    before = Numbering()
    numbers(lines[:stop], before)
    expected = numbers(lines[stop:], before, stop)
    earlier = Numbering()
    numbers(lines[:stop], earlier)
    anchor = earlier.anchor()
    again = Numbering(anchor)
    numbers(lines[anchor:stop], again, anchor)

    assert numbers(lines[stop:], again, stop) == expected
    assert 0 <= anchor < stop
