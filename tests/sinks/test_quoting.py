"""An address is found in a text however that writes it, but not within another one, and at no cost."""

import time

import pytest

from sinks.quoting import with_others, without

ANNA = "anna@example.org"


def other(name: str) -> str | None:
    return {ANNA: "x@y", '"odd q"@x.example': "q@y"}.get(name.lower())


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f"<{ANNA}>: unknown", "<x@y>: unknown"),
        ("Anna@Example.ORG.", "x@y."),
        ("joanna@example.org", "joanna@example.org"),
        ("anna@example.org.uk", "anna@example.org.uk"),
        ("anna@example.orgs", "anna@example.orgs"),
        ("b+anna=example.org@l.example", "b+x=y@l.example"),
        ("b-anna=example.org@l.example", "b-x=y@l.example"),
        ("joanna=example.org@l.example", "joanna=example.org@l.example"),
        ("User 'anna@example.org' unknown", "User 'x@y' unknown"),
        ("see http://spf/?id=anna@example.org;ip=1", "see http://spf/?id=x@y;ip=1"),
        ("see http://spf/why?a=1&id=anna%40example.org&ip=1", "see http://spf/why?a=1&id=x%40y&ip=1"),
        ("`anna@example.org` {anna@example.org} a|anna@example.org|b", "`x@y` {x@y} a|x@y|b"),
        ("mailto:anna@example.org /anna@example.org", "mailto:x@y /x@y"),
        ("prvs=1234=anna@example.org", "prvs=1234=x@y"),
        ("anna@example.org,anna@example.org anna@example.org", "x@y,x@y x@y"),
        ("anna@example.org=anna=example.org@l.example", "x@y=x=y@l.example"),
        ("o'anna@example.org", "o'anna@example.org"),
        ("jo-anna@example.org jo+anna@example.org", "jo-anna@example.org jo+anna@example.org"),
        ("a@b@c anna@ @example.org =", "a@b@c anna@ @example.org ="),
    ],
)
def test_an_address_is_found_in_a_text_but_not_within_another(text: str, left: str) -> None:
    assert with_others(text, other) == left
    assert without(text, ANNA, "x@y") == left


def test_a_quoted_local_part_may_hold_blanks() -> None:
    text = "no '\"odd q\"@x.example' here"
    assert with_others(text, other) == without(text, '"odd q"@x.example', "q@y") == "no 'q@y' here"


def test_a_pseudonym_is_found_as_an_address_is() -> None:
    name = f"~{'0123456789' * 2}"
    text = f"'{name}@x.example' {name}=x.example ?id={name}%40x.example"
    assert with_others(text, {f"{name}@x.example": "q@y"}.get) == "'q@y' q=y ?id=q%40y"


def test_the_longest_reading_counts() -> None:
    assert with_others("a=b@c.d", {"a=b@c.d": "long@y", "b@c.d": "short@y"}.get) == "long@y"


@pytest.mark.parametrize(
    "piece", ["a", "'", "=", "@", "=a", "'@", "a@", "%40", "a%40a", '"', '"a', '\\"', ".", "-", "[", "a.", "@a.", "=a."]
)
def test_no_text_takes_long(piece: str) -> None:
    text = piece * (20_000 // len(piece))
    began = time.process_time()
    for end in ("", "@example.org", "=example.org"):
        with_others(text + end, other)
        without(text + end, ANNA, "x@y")
    assert time.process_time() - began < 2
