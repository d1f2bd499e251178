"""What is deferred, by recipient domain and reason: what has ended is left out, and only the newest are looked at."""

from datetime import timedelta
from typing import Any

import pytest

from web.searches import deferring as module
from web.searches.deferring import deferring

from .conftest import NOON, Mail

SINCE, UNTIL = NOON - timedelta(hours=1), NOON + timedelta(hours=1)


def test_deliveries_are_grouped_by_domain_and_reason_the_most_first(mail: Mail, reading: Any) -> None:
    for number in range(3):
        mail.both(f"B{number}", f"r{number}@Busy.test", "deferred", after=number)
    mail.both("A0", "a@down.test", "deferred", after=10)
    mail.both("S0", "s@busy.test", "sent")
    found = deferring(reading, SINCE, UNTIL)
    assert [(d.domain, d.deliveries) for d in found] == [("busy.test", 3), ("down.test", 1)]
    assert found[0].last_attempt_at == NOON + timedelta(seconds=2)


def test_a_group_has_the_reply_of_its_latest_attempt_and_the_sum_of_attempts(mail: Mail, reading: Any) -> None:
    for number, reply in enumerate(["421 later", "450 4.2.1 " + "x" * 400, "499 old"]):
        mail.message(f"B{number}", number)
        at = 100.0 if number == 1 else 50.0
        mail.delivery(
            f"B{number}", "r@busy.test", "deferred", number, reply=reply, last_attempt_at=at, attempts=number + 1,
            reason="mailbox-full",
        )  # fmt: skip
    [group] = deferring(reading, SINCE, UNTIL)
    assert (group.reason, group.attempts) == ("mailbox-full", 6)
    assert group.reply.startswith("450 4.2.1")
    assert len(group.reply) == 300


@pytest.mark.parametrize("end", ["expired_at", "deleted_at", "cancelled_at", "held_at"])
def test_what_is_not_tried_any_more_is_not_deferred(mail: Mail, reading: Any, end: str) -> None:
    mail.both("A0", "a@down.test", "deferred", **{end: 60.0})
    assert deferring(reading, SINCE, UNTIL) == []


def test_what_is_released_and_what_bounces_softly_is_tried_again(mail: Mail, reading: Any) -> None:
    mail.both("A0", "a@down.test", "deferred", held_at=1.0, released_at=2.0)
    mail.both("A1", "b@down.test", "SOFTBOUNCE")
    assert [(d.domain, d.deliveries) for d in deferring(reading, SINCE, UNTIL)] == [("down.test", 2)]


def test_mail_of_before_or_after_is_left_out(mail: Mail, reading: Any) -> None:
    mail.both("A0", "a@down.test", "deferred", after=-7200)
    mail.both("A1", "a@down.test", "deferred", after=7200)
    assert deferring(reading, SINCE, UNTIL) == []


def test_a_recipient_without_a_domain_counts_too(mail: Mail, reading: Any) -> None:
    mail.both("A0", "postmaster", "deferred")
    [group] = deferring(reading, SINCE, UNTIL)
    assert group.domain == ""


def test_only_the_newest_are_looked_at(mail: Mail, reading: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_DELIVERIES", 2)
    for number in range(4):
        mail.both(f"A{number}", f"a@d{number}.test", "deferred", after=number)
    assert {group.domain for group in deferring(reading, SINCE, UNTIL)} == {"d2.test", "d3.test"}
    assert len(deferring(reading, SINCE, UNTIL, groups=1)) == 1
