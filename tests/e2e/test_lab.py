"""The lab itself: its truth and its log say the same, by a reading that is neither's."""

import pytest
from lab.journald import Journald
from lab.mix import draw_up
from lab.namespace import HOST
from lab.plain_reading import read, supposed
from lab.running import Run


@pytest.mark.postfix
def test_every_attempt_in_the_log_is_in_the_truth_and_no_other_is(postfix_lab: Run) -> None:
    reading = read(postfix_lab.log)
    wanted = supposed(postfix_lab.truth, reading)
    assert reading.attempts - wanted.attempts == {}
    assert wanted.attempts - reading.attempts == {}


@pytest.mark.postfix
def test_the_last_status_in_the_log_is_the_one_of_the_truth(postfix_lab: Run) -> None:
    reading = read(postfix_lab.log)
    wanted = supposed(postfix_lab.truth, reading)
    assert reading.last - wanted.last == {}
    assert wanted.last - reading.last == {}


@pytest.mark.postfix
def test_every_refusal_is_in_the_truth_and_no_other_is(postfix_lab: Run) -> None:
    reading = read(postfix_lab.log)
    wanted = supposed(postfix_lab.truth, reading)
    assert reading.rejects == wanted.rejects
    assert reading.refused == wanted.refused > 0


@pytest.mark.postfix
def test_the_truth_has_as_many_messages_as_the_log_has_queue_ids(postfix_lab: Run) -> None:
    reading = read(postfix_lab.log)
    assert reading.queue_ids == supposed(postfix_lab.truth, reading).queue_ids
    assert reading.rest == []


@pytest.mark.postfix
@pytest.mark.journald
def test_a_journal_holds_what_a_file_would(real_journald: Journald, journald_lab: Run) -> None:
    log = b"".join(line for line in real_journald.lines().splitlines(keepends=True) if b" postfix/" in line)
    reading = read(log)
    wanted = supposed(journald_lab.truth, reading)
    assert (reading.attempts, reading.last, reading.rejects) == (wanted.attempts, wanted.last, wanted.rejects)
    assert reading.queue_ids == wanted.queue_ids


def test_a_seed_always_gives_the_same_run() -> None:
    one, same, other = (draw_up(seed, 100, HOST) for seed in (1, 1, 2))
    recipients = [
        [mail.recipients for session in draft.sessions for mail in session.mails] for draft in (one, same, other)
    ]
    assert recipients[0] == recipients[1] != recipients[2]
    assert [row.find for row in one.truth.deliveries] == [row.find for row in same.truth.deliveries]


def test_no_two_expected_rows_are_found_by_the_same_fields_but_notices() -> None:
    rows = [row for row in draw_up(3, 400, HOST).truth.deliveries if not row.what.startswith("notice")]
    finds = [tuple(sorted((field, str(value)) for field, value in row.find.items())) for row in rows]
    assert len(set(finds)) == len(finds)


def test_the_mix_has_every_status() -> None:
    statuses = {row.status for row in draw_up(1, 10, HOST).truth.deliveries if isinstance(row.status, str)}
    assert statuses == {
        "sent", "deferred", "bounced", "expired", "deleted", "held", "discarded", "rejected", "cancelled", "queued"
    }  # fmt: skip
