"""A sink tells what it stored; what it says of mail is of the last hour, and of few domains, whatever a log holds."""

import time
from typing import Any

from schemas.figures import Figure
from schemas.timestamps import to_text
from sinks.domains import DomainCounts, FailingDomains
from sinks.figures import Counts
from sinks.storing import Prepared
from sinks.writing import ready


def ago(seconds: float) -> str:
    return to_text(int((time.time() - seconds) * 1_000_000))


def told(counts: Counts, name: str) -> dict[str, float]:
    return {next(iter(f.labels.values()), ""): f.value for f in counts.figures() if f.name == name}


def stored(counts: Counts, batch: Any) -> Counts:
    counts.stored(Prepared([None] * len(batch), batch, {}, ready(batch)), 1, 0.5)
    return counts


def test_statuses_are_postfixs_and_one_for_all_others(rows: Any) -> None:
    made_up = [rows.delivery(ago(5), recipient=f"r{n}@x.test", status=f"made-up-{n}") for n in range(50)]
    sent = [rows.delivery(ago(5), recipient=f"s{n}@x.test") for n in range(2)]
    found = told(stored(Counts(20), rows.batch(*made_up, *sent)), "sink_attempts_total")
    assert (found["sent"], found["other"]) == (2, 50)
    assert len(found) < 12


def test_what_is_read_late_or_again_is_stored_and_tells_nothing_of_the_mail_of_now(rows: Any) -> None:
    late = [
        rows.delivery(ago(7200), recipient="a@down.test", status="deferred"),
        rows.delivery(ago(-7200), recipient="b@down.test", status="deferred"),
        rows.rejection(ago(7200)),
    ]
    now = [rows.delivery(ago(60), recipient="c@down.test", status="deferred"), rows.rejection(ago(60))]
    counts = stored(Counts(20), rows.batch(*late, *now))
    assert told(counts, "sink_rows_total") == {"delivery_from": 0, "delivery_to": 3, "noqueue": 2, "tls_sessions": 0}
    assert told(counts, "sink_attempts_total")["deferred"] == 1
    assert told(counts, "sink_domain_failures_total") == {"down.test": 1}
    assert told(counts, "sink_rejections_total") == {"": 1}
    assert told(counts, "sink_records_total") == {"": 5}


def test_an_older_message_whose_attempt_is_of_now_counts(rows: Any) -> None:
    delivery = rows.delivery(ago(86_400), last_attempt_at=ago(1), recipient="a@down.test", status="deferred")
    assert told(stored(Counts(20), rows.batch(delivery)), "sink_domain_failures_total") == {"down.test": 1}


def test_with_no_domains_to_tell_none_is_told(rows: Any) -> None:
    counts = stored(Counts(0), rows.batch(rows.delivery(ago(1), recipient="a@down.test", status="deferred")))
    assert not [figure for figure in counts.figures() if "domain" in figure.name]
    assert Figure("sink_batches_total", 1) in list(counts.figures())


def test_a_domain_that_fails_is_told_with_all_attempts_since(rows: Any) -> None:
    domains = FailingDomains(20)
    domains.count([rows.delivery(recipient="a@good.test")])
    domains.count([rows.delivery(recipient="a@Down.TEST", status="bounced"), rows.delivery(recipient="b@down.test")])
    domains.count([rows.delivery(recipient="c@down.test")])
    assert list(domains.worst()) == [DomainCounts("down.test", 3, 1)]


def test_hostile_domains_are_bounded_in_length_characters_and_number(rows: Any) -> None:
    domains = FailingDomains(5)
    odd = ["a" * 300, 'x"\n} 1\n', "with space", "", "x\x00y"]
    domains.count([rows.delivery(recipient=f"r@{domain}", status="deferred") for domain in odd])
    assert not list(domains.worst())
    for number in range(20_000):
        domains.count([rows.delivery(recipient=f"r@d{number}.test", status="deferred")])
    assert len(list(domains.worst())) == 5
    assert len(domains._counted) <= 40


def test_a_domain_that_fails_often_is_not_pushed_out_by_many_that_fail_once(rows: Any) -> None:
    domains = FailingDomains(5)
    for number in range(5000):
        often = ["large.test"] if number % 10 == 0 else []
        failing = [f"once{number}.test", *often]
        domains.count([rows.delivery(recipient=f"r@{domain}", status="deferred") for domain in failing])
    assert DomainCounts("large.test", 500, 500) in list(domains.worst())


def test_a_domain_that_is_well_again_makes_room(rows: Any) -> None:
    now = 0.0
    domains = FailingDomains(1, lambda: now)
    domains.count([rows.delivery(recipient=f"r{n}@was-down.test", status="deferred") for n in range(50)])
    now += 900
    domains.count([])
    for _ in range(5):
        now += 900
        domains.count([rows.delivery(recipient=f"r{n}@down.test", status="deferred") for n in range(10)])
    assert [counts.domain for counts in domains.worst()] == ["down.test"]
