import pytest

from journal_postfix.once_through import Outcome, Processed
from journal_postfix.supervision.watching import Lines, Stored, behind, total
from schemas.progress import Progress

BEFORE = Processed.of([Progress(partition=0, lines=10, parsed=9, unparsed=1)])
AFTER = Processed.of(
    [
        Progress(partition=0, lines=60, parsed=40, unparsed=2, ignored={"connection": 15, "other": 3}),
        Progress(partition=1, lines=50, parsed=50),
    ]
)


def outcome(read: Lines, seconds: float = 2.0) -> Outcome:
    stored = Stored(messages=30, deliveries=40, attempts=50, rejects=5)
    return Outcome(
        read=read,
        processed=AFTER.since(BEFORE),
        added=stored.since(Stored(messages=10, deliveries=10, attempts=10, rejects=5)),
        stored=stored,
        seconds=seconds,
    )


def test_what_became_of_the_lines_is_their_sum() -> None:
    figures = {name: figure for name, figure, _ in outcome(Lines(lines=107, ignored=5, dead=2)).figures()}
    assert sum(int(figures[name]) for name in ("parsed", "ignored", "unparsed", "dead-lettered")) == 107
    assert figures == {
        "lines": "107", "messages": "20", "deliveries": "30", "attempts": "40", "rejects": "0", "parsed": "81",
        "ignored": "23", "unparsed": "1", "dead-lettered": "2", "seconds": "2.0", "lines/s": "54",
    }  # fmt: skip


def test_rows_that_were_there_before_and_lines_that_came_twice_are_remarked() -> None:
    remarks = {name: remark for name, _, remark in outcome(Lines(lines=87, ignored=5, dead=2)).figures()}
    assert remarks["messages"] == "30 in all"
    assert remarks["rejects"] == "5 in all"
    assert remarks["lines"] == "and 20 sent earlier or again"
    assert remarks["ignored"] == "5 of other programs"


def test_a_run_without_time_has_no_rate() -> None:
    assert outcome(Lines(), seconds=0.0).figures()[-1] == ("lines/s", "0", "")


@pytest.mark.parametrize(
    ("positions", "ends", "left"),
    [
        ({}, {}, 0),
        ({}, {("raw", 0): 5}, 5),
        ({("raw", 0): 5}, {("raw", 0): 5, ("raw", 1): 0}, 0),
        ({("raw", 0): 9, ("raw", 1): 1}, {("raw", 0): 5, ("raw", 1): 4}, 3),
        ({("other", 0): 9}, {("raw", 0): 5}, 5),
    ],
)
def test_a_stage_is_behind_by_what_lies_between_its_positions_and_the_ends(
    positions: dict[tuple[str, int], int], ends: dict[tuple[str, int], int], left: int
) -> None:
    assert behind(positions, ends) == left


def test_lines_of_sources_add_up_and_a_source_that_begins_anew_counts_from_its_beginning() -> None:
    before = {"mx1:file:a": Lines(10, 1, 0), "mx1:file:b": Lines(50, 5, 5)}
    after = {"mx1:file:a": Lines(30, 2, 1), "mx1:file:b": Lines(7, 1, 0), "mx1:file:c": Lines(3)}
    read = total(lines.since(before.get(source, Lines())) for source, lines in after.items())
    assert read == Lines(30, 2, 1)
    assert read.sent == 27
