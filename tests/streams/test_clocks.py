"""Hosts that come, go and are made up: what is known of them stays small, and what they left unfinished leaves."""

from typing import TYPE_CHECKING

import msgspec
import pytest

from schemas.progress import decode_progress
from schemas.topics import MAX_VALUE_BYTES
from streams import clocks, state

if TYPE_CHECKING:
    from tests.streams.conftest import Fed

DAY = 86_400


def client(at: float, queue_id: str = "9D5CB98A3E3") -> tuple[float, str, str]:
    return (at, "postfix/smtpd", f"{queue_id}: client=c.test[192.0.2.1]")


def hear(fed: "Fed", host: str, *lines: tuple[float, str, str]) -> None:
    fed.state.merge(fed.batch(lines, host))


def take_over(fed: "Fed", new_fed: type["Fed"]) -> "Fed":
    """Let another worker go on from the checkpoint of *fed*."""
    fed.writes += fed.state.checkpoint()
    heir = new_fed()
    heir.writes = [*fed.writes]
    heir.state.restore(fed.changelog, decode_progress(msgspec.json.encode(fed.state.progress)))
    return heir


@pytest.mark.parametrize(
    ("letter", "line"),
    [
        pytest.param("h", (0, "postfix/smtpd", "connect from x[192.0.2.1]"), id="made-up"),
        pytest.param("h", client(0), id="unfinished"),
        pytest.param("\1", client(0), id="six-bytes-a-character"),
    ],
)
def test_the_record_of_progress_stays_small_however_many_hosts_there_are(
    fed: "Fed", letter: str, line: tuple[float, str, str]
) -> None:
    for number in range(6_000):
        hear(fed, f"{number:06d}".rjust(250, letter), line)
    assert len(msgspec.json.encode(fed.state.progress)) < MAX_VALUE_BYTES
    assert f"{5_999:06d}".rjust(250, letter) in fed.state.progress.hosts
    assert len(fed.state) <= len(fed.state.progress.hosts)


def test_the_record_of_progress_stays_small_however_many_lines_are_unknown(fed: "Fed") -> None:
    for number in range(200):
        hear(fed, "mx1", *((0, f"postfix/{number}".ljust(80, "\2"), f"\1{n}".rjust(300, "\1")) for n in range(5)))
    assert fed.state.progress.unparsed == 1_000
    assert len(msgspec.json.encode(fed.state.progress)) < MAX_VALUE_BYTES


def test_made_up_hosts_do_not_crowd_out_one_with_unfinished_messages(fed: "Fed") -> None:
    hear(fed, "mx1", client(0))
    for number in range(6_000):
        hear(fed, f"{number:06d}".rjust(250, "h"), (0, "postfix/smtpd", "connect from x[192.0.2.1]"))
    assert "mx1" in fed.state.progress.hosts
    assert len(fed.state) == 1


def test_messages_of_hosts_that_fell_silent_leave(fed: "Fed") -> None:
    for number in range(6_000):  # an hour apart
        hear(fed, f"pod-{number}", client(number * 3_600))
    fed.writes += fed.state.checkpoint()
    assert len(fed.state) <= 24 * fed.settings.queue_lifetime_days + clocks._LOOKED_EVERY
    assert len(fed.changelog) == len(fed.state)
    assert len(fed.messages) == 6_000, "what left was written"


@pytest.mark.parametrize("ahead", ["mx9", "mx1"])
def test_a_clock_from_the_future_ends_no_message_of_other_hosts(fed: "Fed", ahead: str) -> None:
    hear(fed, "mx1", client(0))
    hear(fed, "mx2", client(0))
    hear(fed, ahead, (3_650 * DAY, "postfix/smtpd", "connect from x[192.0.2.1]"))
    for number in range(3 * clocks._LOOKED_EVERY):
        hear(fed, "mx3", (number, "postfix/smtpd", "connect from x[192.0.2.1]"))
    assert {host for host, held in fed.state._hosts.items() if held} == {"mx1", "mx2"} - {ahead}


def test_an_old_log_that_is_read_is_not_of_a_silent_host(fed: "Fed") -> None:
    for number in range(4 * clocks._LOOKED_EVERY):
        hear(fed, f"mx{number % 2}", (100 * DAY + number, "postfix/smtpd", "connect from x[192.0.2.1]"))
        if number % 500 == 0:
            hear(fed, "old", client(number, f"9D5CB98A{number:04X}"))
    assert len(fed.state) == 8


def test_a_worker_that_takes_over_forgets_the_same(
    fed: "Fed", new_fed: type["Fed"], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clocks, "MOST_BYTES", 4_000)
    monkeypatch.setattr(clocks, "_KEPT_BYTES", 3_000)
    monkeypatch.setattr(clocks, "_LOOKED_EVERY", 70)
    monkeypatch.setattr(state, "_SWEPT_EVERY", 1_000)
    disturbed = new_fed()
    for number in range(3_000):
        name = f"pod-{number * 7_919 % (40 + number // 20)}"
        line = client(number * 7_200, f"9D5CB98A{number:03X}") if number % 3 else (number, "postfix/x", f"new {number}")
        hear(fed, name, line)
        hear(disturbed, name, line)
        if number % 45 == 0:
            disturbed = take_over(disturbed, new_fed)
    for one in (fed, disturbed):
        one.writes += one.state.checkpoint()
    assert disturbed.state.progress == fed.state.progress
    assert list(disturbed.state.progress.hosts) == list(fed.state.progress.hosts)
    assert disturbed.changelog == fed.changelog
    assert disturbed.messages == fed.messages
