"""Comparing rows with the truth: everything that is wrong is said, and nothing else."""

from typing import Any

from lab.comparing import compare
from lab.truth import AtLeast, Containing, Given, Moment, OneOf, QueueIdOf, Row

FIRST = Row(
    what="first",
    message="1",
    find={"recipient": "a@example.test", "orig_recipient": None},
    claims={"status": "sent", "attempts": AtLeast(2), "reply": Containing("250"), "message_id": Given()},
)
SECOND = Row(
    what="second",
    message="2",
    find={"recipient": "b@example.test"},
    claims={"status": OneOf(("held", None)), "parent_queue_id": QueueIdOf(FIRST), "arrived_at": Moment(10, 20)},
)
FIRST_ROW: dict[str, Any] = {
    "queue_id": "A1", "recipient": "a@example.test", "orig_recipient": "", "status": "sent", "attempts": 2,
    "reply": "250 ok", "message_id": "x",
}  # fmt: skip
SECOND_ROW: dict[str, Any] = {
    "queue_id": "B2", "recipient": "b@example.test", "status": "held", "parent_queue_id": "A1",
    "arrived_at": "1970-01-01T00:00:15.5Z",
}  # fmt: skip


def test_rows_that_say_the_truth_are_right_in_any_order() -> None:
    for rows in ([FIRST_ROW, SECOND_ROW], [SECOND_ROW, FIRST_ROW]):
        report = compare(rows, [FIRST, SECOND])
        assert report.wrong == []
        assert report.right == report.checked == 9


def test_each_wrong_field_is_told_with_the_lines_of_its_queue_id() -> None:
    wrong = {**FIRST_ROW, "status": "bounced", "attempts": 1, "reply": "550", "message_id": None}
    report = compare([wrong, SECOND_ROW], [FIRST, SECOND], ["mx1 A1: one", "mx1 B2: other"])
    assert len(report.wrong) == 1
    for part in ("status: expected 'sent', got 'bounced'", "attempts: expected 2 or more, got 1", "log: mx1 A1: one"):
        assert part in report.wrong[0]
    assert "reply" in report.wrong[0]
    assert "message_id" in report.wrong[0]
    assert "B2" not in report.wrong[0]
    assert report.checked - report.right == 4


def test_a_time_outside_its_span_and_a_wrong_link_are_wrong() -> None:
    second = {**SECOND_ROW, "arrived_at": "1970-01-01T00:00:23Z", "parent_queue_id": "C3"}
    (told,) = compare([FIRST_ROW, second], [FIRST, SECOND]).wrong
    assert "arrived_at: expected 1970-01-01T00:00:10+00:00 to 1970-01-01T00:00:20+00:00" in told
    assert "parent_queue_id: expected 'A1', the queue id of" in told


def test_a_field_that_is_not_there_is_wrong_even_where_nothing_is_expected() -> None:
    expected = Row(what="first", message="1", find={"recipient": "a@example.test"}, claims={"sasl_username": None})
    (told,) = compare([FIRST_ROW], [expected]).wrong
    assert "sasl_username: expected None, got nothing: the field is not there" in told


def test_a_missing_row_is_told() -> None:
    (told,) = compare([FIRST_ROW], [FIRST, Row(what="other", message="3", find={"recipient": "c@example.test"})]).wrong
    assert told.startswith("MISSING other")


def test_a_row_too_many_is_told_even_if_it_is_a_copy() -> None:
    (told,) = compare([FIRST_ROW, FIRST_ROW, SECOND_ROW], [FIRST, SECOND]).wrong
    assert told.startswith("UNEXPECTED row")
