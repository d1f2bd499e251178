import unicodedata
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from journal_postfix.rendering.characters import address, cut_end, cut_middle, for_terminal, padded, plain


@given(st.text())
def test_nothing_that_a_terminal_would_act_on_is_left(text: str) -> None:
    shown = plain(text)
    assert not [
        c
        for c in shown
        if unicodedata.category(c) in {"Cc", "Cs"}
        or unicodedata.bidirectional(c) in {"RLO", "LRO", "RLE", "LRE", "PDF", "RLI", "LRI", "FSI", "PDI"}
    ]


def test_a_control_character_is_seen_as_what_it_is() -> None:
    assert plain("a\x1b[31mb\tc\x7f") == "a␛[31mb␉c␡"


def test_ordinary_text_stays() -> None:
    assert plain("müller@exämple.org 日本 ß") == "müller@exämple.org 日本 ß"


@given(st.text(alphabet="ab日é@.", max_size=60), st.integers(0, 40))
def test_cut_text_fits_and_text_that_fits_is_not_cut(text: str, width: int) -> None:
    for cut in (cut_middle(text, width), cut_end(text, width)):
        assert cell_len(cut) <= width
        assert (cut == text) == (cell_len(text) <= width)


@pytest.mark.parametrize(
    ("width", "expected"), [(18, "someone@domain.org"), (11, "someo…n.org"), (5, "so…rg"), (1, "…"), (0, "")]
)
def test_the_middle_of_an_address_is_cut(width: int, expected: str) -> None:
    assert cut_middle("someone@domain.org", width) == expected


def test_wide_characters_count_two_cells() -> None:
    assert padded("日", 4) == "日  "
    assert cut_end("日本語", 4) == "日…"


@pytest.mark.parametrize(("value", "shown"), [("", "<>"), (None, "?"), ("a@b.org", "a@b.org"), ("a\n@b", "a␊@b")])
def test_an_address_is_shown_as_people_read_it(value: str | None, shown: str) -> None:
    assert address(value) == shown


def test_lines_for_a_terminal_are_plain_and_those_for_a_file_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [*for_terminal(["a\x1b[31m"])] == ["a\x1b[31m"]
    monkeypatch.setattr("sys.stdout", SimpleNamespace(isatty=lambda: True))
    assert [*for_terminal(["a\x1b[31m"])] == ["a␛[31m"]
