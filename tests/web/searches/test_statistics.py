"""Statistics of a window: they agree with what ``deliveries`` says of each mail, and keep to their window and host."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from journal_postfix import mail_statistics
from journal_postfix.mail_statistics import read_statistics
from web.searches import offenders, statistics
from web.searches.deliveries import DeliverySearch, search
from web.searches.offenders import whole_days
from web.searches.statistics import window

pytestmark = pytest.mark.postgres

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = 3600.0
DAY = window(NOON - timedelta(days=1), NOON + timedelta(days=1))


def some_mail(mail: Any) -> None:
    """Put a message of every fate."""
    mail.both("SENT", "a@one.test", size=1000)
    mail.both("SENT2", "b@one.test", after=2 * HOUR, host="mx2", size=500)
    mail.message("SLOW", sender="s@x.test")
    mail.delivery("SLOW", "a@slow.test", delay=240.0)
    mail.delivery("SLOW", "b@slow.test", delay=60.0)
    mail.delivery("SLOW", "c@quick.test", delay=59.0)
    mail.both("LATER", "a@Two.test", "deferred")
    mail.both("BOUNCED", "b@two.test", "bounced", after=1)
    mail.both("EXPIRED", "a@three.test", "deferred", expired_at=5.0)
    mail.message("EXPIRED2", expired_at=5.0)
    mail.delivery("EXPIRED2", "b@three.test")
    mail.delivery("EXPIRED2", "c@three.test", "deferred")
    mail.both("DELETED", "d@three.test", "deferred", deleted_at=5.0)
    mail.both("HELD", "e@three.test", "deferred", held_at=5.0)
    mail.both("RELEASED", "f@three.test", "deferred", held_at=5.0, released_at=6.0)
    mail.message("HELD2", held_at=5.0)
    mail.message("REFUSED", rejected_at=1.0, queued_at=None, reject_reason="spam")
    mail.message("SPAM", rejected_at=1.0, attempted_at=1.0, queued_at=None, reject_reason="spam")
    mail.delivery("SPAM", "k@three.test", "rejected", reason="spam")
    mail.message("DISCARDED", discarded_at=1.0, queued_at=None)
    mail.message("CANCELLED", queued_at=None, client_name="c.test")
    mail.message("DROPPED")
    mail.delivery("DROPPED", "g@three.test", service="discard")
    mail.message("SOME", after=3)
    mail.delivery("SOME", "h@three.test", "rejected", after=3, reason="unknown-user")
    mail.delivery("SOME", "i@three.test", after=3)


def test_the_statuses_are_those_of_the_deliveries(mail: Any, reading: Any) -> None:
    some_mail(mail)
    everything = search(reading, DeliverySearch(since=DAY.since, limit=0))
    expected = Counter(record["status"] for record in everything)
    assert statistics.totals(reading, DAY).deliveries == expected


def test_volume_is_counted_by_hour_and_host(mail: Any, reading: Any) -> None:
    some_mail(mail)
    mail.rejection("x@y.test", after=2 * HOUR, host="mx2")
    mail.rejection("x@y.test", after=2 * HOUR, host="mx2", action="reject_warning", digest="w")
    totals = statistics.totals(reading, DAY)
    assert (totals.messages, totals.bytes, totals.refused) == (17, 1500, 4)
    hours = statistics.series(reading, window(NOON, NOON + timedelta(hours=3)), "hour")
    assert [(moment.at, moment.messages, moment.refused) for moment in hours] == [
        (NOON, 16, 3), (NOON + timedelta(hours=1), 0, 0), (NOON + timedelta(hours=2), 1, 1)
    ]  # fmt: skip
    days = statistics.series(reading, DAY, "day")
    assert [moment.messages for moment in days] == [0, 17, 0]
    assert [(one.host, one.messages, one.sent) for one in statistics.hosts(reading, DAY)] == [
        ("mx1", 16, 6), ("mx2", 1, 1)
    ]  # fmt: skip
    assert statistics.totals(reading, window(DAY.since, DAY.until, "mx2")).messages == 1


def test_sums_by_host_and_over_time_are_those_of_the_whole(mail: Any, reading: Any) -> None:
    some_mail(mail)
    mail.rejection("x@y.test", after=2 * HOUR, host="mx2")
    found = read_statistics(reading, DAY.since, DAY.until)
    totals = found.totals
    # As logged: all of them were deferred, but for HELD2, which has no recipient.
    stopped = sum(totals.deliveries[status] for status in ("expired", "deleted", "held"))
    expected = (
        totals.messages, totals.bytes, totals.deliveries["sent"], totals.deliveries["deferred"] + stopped - 1,
        totals.deliveries["bounced"], totals.refused,
    )  # fmt: skip
    for parts in (found.hosts, found.series):
        sums = [(m.messages, m.bytes, m.sent, m.deferred, m.bounced, m.refused) for m in parts]
        assert tuple(map(sum, zip(*sums, strict=True))) == expected
    assert sum(reason.count for reason in found.reject_reasons if reason.action == "reject") == totals.refused


def test_all_figures_are_of_one_moment_though_sinks_write_meanwhile(
    mail: Any, reading: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    mail.both("A1", "a@one.test", after=1)
    totals = statistics.totals

    def slow(*arguments: Any) -> statistics.Totals:
        found = totals(*arguments)
        mail.both("B2", "b@one.test", after=2)
        return found

    monkeypatch.setattr(mail_statistics.statistics, "totals", slow)
    found = read_statistics(reading, None, None)
    assert (found.totals.messages, found.hosts[0].messages, found.series[-1].messages) == (1, 1, 1)


@pytest.mark.parametrize("kind", ["whole", "recipient", "without an id"])
def test_the_last_day_that_the_log_has_ends_with_its_newest_rejection_too(mail: Any, reading: Any, kind: str) -> None:
    """While everything is refused, by a policy server that is down for example, no mail is newer."""
    mail.both("A1", "a@one.test")
    later = 30 * HOUR
    if kind == "whole":
        mail.message("B2", later, rejected_at=later, queued_at=None)
    elif kind == "recipient":
        mail.message("B2", later)
        mail.delivery("B2", "x@y.test", "rejected", later)
    else:
        mail.rejection("x@y.test", after=later)
    found = read_statistics(reading, None, None)
    assert (found.until, found.totals.refused) == (NOON + timedelta(hours=31), 1)


def test_a_window_that_begins_after_the_newest_mail_ends_now(mail: Any, reading: Any) -> None:
    mail.both("A1", "a@one.test")
    now = datetime.now(UTC)
    found = read_statistics(reading, now - timedelta(hours=2), None)
    assert now - timedelta(seconds=1) < found.until <= now + timedelta(hours=1, seconds=9)
    assert found.totals.messages == 0


def test_delays_are_those_of_what_was_sent(mail: Any, reading: Any) -> None:
    some_mail(mail)
    delays = statistics.totals(reading, DAY).delays
    assert (delays.counted, delays.mean) == (3, pytest.approx((240 + 60 + 59) / 3))
    assert delays.within == {"1s": 0, "10s": 0, "1min": 2, "10min": 3, "1h": 3}


def test_destinations_that_fail_come_with_what_they_said_last(mail: Any, reading: Any) -> None:
    some_mail(mail)
    mail.delivery("LATER2", "c@two.test", "deferred", 60, reply="452 full", reason="mailbox-full")
    mail.delivery("LATER2", "d@two.test", "sent", 120)
    three, two = offenders.failing_domains(reading, DAY)
    assert (three.domain, three.deferred, three.bounced) == ("three.test", 5, 0)
    assert (two.domain, two.deferred, two.bounced) == ("two.test", 2, 1)
    assert (two.status, two.reply, two.reason) == ("deferred", "452 full", "mailbox-full")
    assert offenders.failing_domains(reading, DAY, limit=1) == [three]


def test_recipients_without_a_domain_come_with_what_was_said_last_too(mail: Any, reading: Any) -> None:
    mail.message("LOCAL")
    mail.delivery("LOCAL", "root", "bounced", reply="unknown user", reason="unknown-user")
    mail.delivery("OTHER", "a@two.test", "bounced", 1, reply="550 no", reason="policy")
    found = {one.domain: (one.bounced, one.reason, one.reply) for one in offenders.failing_domains(reading, DAY)}
    assert found == {"": (1, "unknown-user", "unknown user"), "two.test": (1, "policy", "550 no")}


def test_what_was_said_last_may_have_been_days_ago(mail: Any, reading: Any) -> None:
    week = statistics.window(NOON - timedelta(days=7), NOON)
    for days in (6, 5):
        mail.message(f"OLD{days}", -days * 86_400)
        mail.delivery(f"OLD{days}", "a@old.test", "bounced", -days * 86_400, reply=f"550 {days}")
        mail.rejection("a@x.test", -days * 86_400, client_address="192.0.2.7", client_name=f"c{days}.test")
    mail.message("NEW", -60)
    mail.delivery("NEW", "a@new.test", "deferred", -60, reply="452 full")
    mail.rejection("b@x.test", -60, client_address="192.0.2.8", client_name="c.test")
    failing = offenders.failing_domains(reading, week)
    assert [(one.domain, one.reply) for one in failing] == [("old.test", "550 5"), ("new.test", "452 full")]
    refused = offenders.refused_clients(reading, week)
    assert [(one.client_name, one.count) for one in refused] == [("c5.test", 2), ("c.test", 1)]


def test_slow_destinations_are_those_over_a_minute(mail: Any, reading: Any) -> None:
    some_mail(mail)
    assert offenders.slow_domains(reading, DAY) == [offenders.SlowDomain("slow.test", 2, 150.0)]


def test_reasons_and_clients_of_rejections(mail: Any, reading: Any) -> None:
    some_mail(mail)
    for number in range(3):
        mail.rejection(
            "x@y.test", after=number, client_address="192.0.2.7", client_name=f"c{number}.test", reason="spam"
        )
    mail.rejection("x@y.test", after=9, client_address="192.0.2.8", action="hold")
    assert [(one.action, one.reason, one.count) for one in statistics.reject_reasons(reading, DAY)] == [
        ("reject", "spam", 5), ("hold", "", 1), ("reject", "unknown-user", 1)
    ]  # fmt: skip
    assert offenders.refused_clients(reading, DAY) == [offenders.RefusedClient("192.0.2.7", "c2.test", 3)]


@pytest.mark.parametrize("hours", [(-30, 20), (-12, 12), (-13, 35), (-1, 1), (-11, 12), (0, 60)])
def test_whole_days_and_the_hours_around_them_give_the_same(mail: Any, reading: Any, hours: tuple[int, int]) -> None:
    """Of a failing delivery each hour for five days, those in the window are found."""
    for hour in range(-48, 72):
        mail.delivery(f"H{hour}", "a@two.test", "deferred", hour * HOUR)
        mail.delivery(f"H{hour}", "a@slow.test", "sent", hour * HOUR, delay=100.0)
        mail.rejection("x@y.test", after=hour * HOUR, client_address="192.0.2.7")
    asked = window(*(NOON + timedelta(hours=hour) for hour in hours))
    expected = hours[1] - hours[0]
    assert [one.deferred for one in offenders.failing_domains(reading, asked)] == [expected]
    assert [one.slow for one in offenders.slow_domains(reading, asked)] == [expected]
    assert [one.count for one in offenders.refused_clients(reading, asked)] == [expected]
    assert statistics.totals(reading, asked).deliveries == {"deferred": expected, "sent": expected}


def test_a_window_has_whole_hours_and_may_have_whole_days() -> None:
    asked = window(NOON + timedelta(minutes=5), NOON + timedelta(days=2, seconds=1))
    assert (asked.since, asked.until) == (NOON, NOON + timedelta(days=2, hours=1))
    assert whole_days(asked) == (NOON + timedelta(hours=12), NOON + timedelta(hours=36))
    short = window(NOON, NOON)
    assert (short.until, whole_days(short)) == (NOON + timedelta(hours=1), (short.until, short.until))


def test_nothing_is_nothing(reading: Any) -> None:
    totals = statistics.totals(reading, DAY)
    assert (totals.messages, totals.deliveries, totals.delays.mean) == (0, {}, None)
    assert offenders.failing_domains(reading, DAY) == statistics.hosts(reading, DAY) == []


def test_of_very_many_stopped_messages_each_counts_as_one_delivery(
    mail: Any, reading: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statistics, "MOST_STOPPED", 1)
    for name in ("E1", "E2"):
        mail.message(name, expired_at=5.0)
        mail.delivery(name, "a@one.test", "deferred")
        mail.delivery(name, "b@one.test", "deferred")
    totals = statistics.totals(reading, DAY)
    assert (totals.exact, totals.deliveries) == (False, {"expired": 2, "deferred": 2})


def test_very_many_messages_that_were_stopped_untried_make_no_number_negative(
    mail: Any, reading: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some filters have every message held, and take it from there."""
    monkeypatch.setattr(statistics, "MOST_STOPPED", 1)
    for name in ("H1", "H2", "H3"):
        mail.message(name, held_at=5.0)
    mail.both("E1", "a@one.test", "deferred", expired_at=5.0)
    mail.message("E2", expired_at=5.0)
    totals = statistics.totals(reading, DAY)
    assert (totals.exact, totals.deliveries) == (False, {"expired": 2, "held": 3})
