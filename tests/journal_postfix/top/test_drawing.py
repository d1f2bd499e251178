"""A picture fits where it is drawn, and nothing of a log can act on the terminal."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.text import Text

from journal_postfix.top.drawing import (
    deferring_lines,
    figure_lines,
    host_lines,
    lag_lines,
    ordered,
    plain_lines,
)
from journal_postfix.top.picture import PartitionLag, Picture
from schemas.timestamps import MICROSECONDS
from web.searches.deferring import Deferral

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
HOSTILE = "[bold red]x[/]\x1b[2J\x9b31m\u202eevil\r\n" + "w" * 500


def deferral(domain: str, reason: str = "unavailable", deliveries: int = 3, **known: Any) -> Deferral:
    return Deferral(
        **{
            "domain": domain, "reason": reason, "reply": "450 later", "deliveries": deliveries, "attempts": 5,
            "last_attempt_at": NOW - timedelta(minutes=1),
        } | known
    )  # fmt: skip


def picture(**known: Any) -> Picture:
    full = {
        "at": NOW, "lines_per_second": {"parsed": 1234.0, "unparsed": 0.5, "connection": 300.0},
        "messages_per_second": 80.0, "rows_per_second": 210.0, "in_flight": 1_234_567, "unparsed": 3, "dead_letters": 1,
        "lags": [PartitionLag(number, number, 2 * number) for number in range(16)],
        "hosts": {f"mx{number}": int(NOW.timestamp() - 60 * number) * MICROSECONDS for number in range(20, 0, -1)},
        "deferring": [deferral("a.test", deliveries=2), deferral("b.test", "greylisted", 9)],
    }  # fmt: skip
    return Picture(**full | known)


def text(lines: list[Text]) -> str:
    return "\n".join(line.plain for line in lines)


@pytest.mark.parametrize("width", [20, 30, 76, 116, 200])
@pytest.mark.parametrize("height", [1, 3, 6, 40])
def test_every_panel_fits(width: int, height: int) -> None:
    full = picture(deferring=[deferral(HOSTILE, HOSTILE, 10**12, reply=HOSTILE)] * 60, hosts={HOSTILE: 0} | {"b": 1})
    panels = (
        lag_lines(full, width, height), host_lines(full, width, height),
        deferring_lines(full, width, height, "deliveries"),
        lag_lines(picture(kafka="x y " * 100), width, height),
        deferring_lines(picture(deferring=None), width, height, "domain"),
    )  # fmt: skip
    for lines in panels:
        assert len(lines) <= height
    for line in [line for lines in (*panels, figure_lines(full, width)) for line in lines]:
        assert line.cell_len <= width
        assert "\n" not in line.plain


def test_what_a_log_says_is_shown_and_does_nothing() -> None:
    full = picture(
        deferring=[deferral(HOSTILE, HOSTILE, reply=HOSTILE)], hosts={HOSTILE: 0}, lines_per_second={HOSTILE: 1.0}
    )
    drawn = text(list(plain_lines(full, 300, "deliveries")))
    assert "[bold red]" in drawn
    assert not set(drawn) & {"\x1b", "\x9b", "\u202e", "\r"}


def test_the_partitions_that_are_most_behind_are_shown_where_not_all_have_room() -> None:
    drawn = text(lag_lines(picture(), 60, 6)).splitlines()
    assert [line.split()[0] for line in drawn[1:5]] == ["12", "13", "14", "15"]
    assert drawn[5].split()[:4] == ["all", "16", "120", "240"]


def test_the_hosts_that_are_silent_longest_are_shown() -> None:
    assert text(host_lines(picture(), 30, 3)).split() == [
        "mx20",
        "20",
        "min",
        "ago",
        "mx19",
        "19",
        "min",
        "ago",
        "and",
        "18",
        "more",
    ]


def test_what_is_deferred_is_ordered_as_one_likes() -> None:
    rows = [deferral("b.example.org", "x", 1), deferral("a.test", "y", 5), deferral("a.example.org", "x", 2)]
    by = lambda order: [d.domain for d in ordered(rows, order)]  # noqa: E731
    assert by("deliveries") == ["a.test", "a.example.org", "b.example.org"]
    assert by("domain") == ["a.example.org", "b.example.org", "a.test"]
    assert by("reason") == ["a.example.org", "b.example.org", "a.test"]


def test_a_reply_says_what_was_said_and_not_by_which_host() -> None:
    said = deferral(
        "a.test", reply="host mx.a.test[192.0.2.1] said: 450 4.2.0\n try later (in reply to RCPT TO command)"
    )
    assert "450 4.2.0 try later" in text(deferring_lines(picture(deferring=[said]), 116, 5, "deliveries"))
    other = deferral("a.test", reply="connect to mx.a.test[192.0.2.1]:25: Connection refused")
    assert "connect to mx" in text(deferring_lines(picture(deferring=[other]), 116, 5, "deliveries"))


def test_a_side_that_is_out_of_reach_is_named_and_the_others_are_drawn() -> None:
    without = picture(kafka="it does not answer", lags=[], hosts={}, lines_per_second=None, in_flight=None)
    assert "Kafka: it does not answer" in text(lag_lines(without, 60, 5))
    assert "a.test" in text(deferring_lines(without, 80, 5, "deliveries"))
    assert "…" in text(figure_lines(without, 80))
    no_database = picture(database="it does not answer", deferring=None)
    assert "PostgreSQL: it does not answer" in text(deferring_lines(no_database, 60, 5, "deliveries"))


def test_nothing_deferred_and_nothing_read_are_said() -> None:
    assert "nothing is deferred" in text(deferring_lines(picture(deferring=[]), 60, 5, "deliveries"))
    assert "no line was read yet" in text(host_lines(picture(hosts={}), 60, 5))
