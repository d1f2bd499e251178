import pytest

from journal_postfix.rendering import replaying
from journal_postfix.rendering.replaying import Standings, comparison_lines, outcome_lines
from journal_postfix.replaying.rows import Counts
from journal_postfix.replaying.running import Outcome, Standing
from sinks.comparing import Compared, Difference


def test_without_a_terminal_a_line_tells_now_and_then_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    standings = Standings(None, told.append)
    standings.show(Standing(records=1, total=4, lines=200, seconds=0.1))
    assert told == [], "not at once"
    monkeypatch.setattr(replaying, "_TELL_SECONDS", 0.0)
    standings.show(Standing(records=1_000, total=4_000, lines=200_000, seconds=2.0))
    assert told == ["1,000 of 4,000 records, 200,000 lines, 100,000 lines/s, about 6 s left"]


def test_the_sums_of_a_replay_are_shown() -> None:
    counts = Counts(records=3, dead_letters=1, lines=400, parsed=300, ignored=90, unparsed=10, rows=50)
    lines = [line.split()[:2] for line in outcome_lines(Outcome(counts, 2.0, finished=True))]
    assert ["parsed", "300"] in lines
    assert ["unparsed", "10"] in lines
    assert ["lines/s", "200"] in lines


def test_a_comparison_shows_counts_then_columns_then_examples_whatever_is_in_them() -> None:
    key = {"arrived_at": "2026-11-22 06:00:00+00", "queue_id": "9D5CB98A3E3", "host": "mx1"}
    found = [
        Difference("delivery_from", key, "different", {"sender": ("\x1b[31m" + "x" * 100, None)}),
        Compared("delivery_from", equal=5, different=1, columns={"sender": 1}),
    ]
    lines = [line.plain for line in comparison_lines(found)]
    assert lines[1].split() == ["delivery_from", "5", "1", "0", "0", "0"]
    assert lines[2] == "  delivery_from.sender: 1 rows differ"
    assert lines[3] == "different: delivery_from 2026-11-22 06:00:00+00 9D5CB98A3E3 mx1"
    assert "\x1b" not in lines[4]
    assert lines[4].endswith("… → (none)")
    assert max(map(len, lines)) <= 80
