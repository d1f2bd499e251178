"""Logs that are read again in part, or in another order: what was withdrawn, or joined before, costs no other row."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.deliveries import delivery_key, message_key
from sinks.writing import Writer
from tests.sinks.test_part_rows import OTHER_LINES, lines_of, merged, stored
from tests.streams.histories import Line, histories

pytestmark = pytest.mark.postgres


def child(*texts: str) -> list[Line]:
    """Return log lines of another queue id: that of a bounce."""
    return [(at, program, text.replace("9D5CB98A3E3", "9D5CB98A3F7")) for at, program, text in lines_of(*texts)]


CLIENT = lines_of("0 smtpd client=c.test[192.0.2.1]")
REFUSED = lines_of(
    "0 smtpd reject: RCPT from c.test[192.0.2.1]: 550 5.1.1 <n@x.test>: no; from=<a@s.test> to=<n@x.test> proto=SMTP"
)
QUEUED = lines_of(
    "3 cleanup message-id=<m@s.test>",
    "3 qmgr from=<a@s.test>, size=541, nrcpt=2 (queue active)",
    "4 smtp to=<b@x.test>, relay=r, delay=1, dsn=2.0.0, status=sent (x)",
)
QUICK = lines_of(
    "2 cleanup message-id=<m@s.test>",
    "2 qmgr from=<a@s.test>, size=541, nrcpt=2 (queue active)",
    "3 smtp to=<b@x.test>, relay=r, delay=1, dsn=2.0.0, status=sent (x)",
    "3 qmgr removed",
)
RESENT = lines_of(
    "2 cleanup resent-message-id=<n@s.test>",
    "2 qmgr from=<a@s.test>, size=541, nrcpt=2 (queue active)",
    "3 smtp to=<b@x.test>, relay=r, delay=1, dsn=2.0.0, status=sent (x)",
)
NAMED = lines_of("2 cleanup message-id=<m@s.test>")
LAST = lines_of("6 smtp to=<c@x.test>, relay=r, delay=1, dsn=2.0.0, status=sent (x)")
REMOVED = lines_of("7 qmgr removed")

UNSEEN = lines_of(
    "0 qmgr from=<a@s.test>, size=541, nrcpt=1 (queue active)",
    "1 smtp to=<b@x.test>, relay=r, delay=1, dsn=4.0.0, status=deferred (x)",
    "400 qmgr from=<a@s.test>, size=541, nrcpt=1 (queue active)",
)
UNSEEN_END = lines_of("401 smtp to=<b@x.test>, relay=r, delay=1, dsn=2.0.0, status=sent (x)", "401 qmgr removed")

BOUNCED = lines_of("8 bounce sender non-delivery notification: 9D5CB98A3F7")
BOUNCE = child("7 cleanup message-id=<b@mx1>")
BOUNCE_QUEUED = child("8 qmgr from=<>, size=2000, nrcpt=1 (queue active)")

ORDERS = {
    "the end again, with what makes a guess of the same second": (
        [CLIENT + REFUSED + QUICK],
        [CLIENT + REFUSED + QUICK, REFUSED, QUICK],
    ),
    "backwards, so that a part joins a guess that is withdrawn": (
        [CLIENT + REFUSED + QUEUED + LAST + REMOVED],
        [LAST + REMOVED, REFUSED, QUEUED, CLIENT],
    ),
    "resent, from its middle on before its beginning": (
        [CLIENT + NAMED + RESENT + REMOVED],
        [RESENT + REMOVED, OTHER_LINES, CLIENT + NAMED],
    ),
    "the end of a message whose beginning no log has, again": (
        [UNSEEN + UNSEEN_END],
        [UNSEEN + UNSEEN_END, UNSEEN_END],
    ),
    "a bounce whose parent is told under a guess": (
        [BOUNCE + BOUNCED + BOUNCE_QUEUED],
        [BOUNCED, BOUNCE_QUEUED, BOUNCE],
    ),
}


def told(writer: Writer, query: Any, topics: Any, steps: list[list[Line]], *, ends: bool) -> Any:
    """Return what a user sees of the lines of *steps*; *ends*: each in a transaction of its own."""
    stored(writer, query, merged([(lines, ends) for lines in steps], topics))
    return query(
        "SELECT queue_id, arrived_at::text, recipient, status, attempts, sender, message_id, client_name, "
        "parent_queue_id, (SELECT removed_at::text FROM delivery_from f WHERE f.queue_id = d.queue_id "
        "AND f.arrived_at = d.arrived_at AND f.host = d.host) FROM deliveries d ORDER BY 1, 2, 3"
    )


@pytest.mark.parametrize(("in_order", "other"), ORDERS.values(), ids=ORDERS)
def test_the_rows_are_those_of_the_log_read_once_and_in_order(
    writer: Writer, query: Any, topics: Any, in_order: list[list[Line]], other: list[list[Line]]
) -> None:
    rows = told(writer, query, topics, in_order, ends=False)
    for ends in (False, True):
        assert told(writer, query, topics, other, ends=ends) == rows


def test_a_part_waits_for_a_message_that_no_better_beginning_can_take_away(
    writer: Writer, query: Any, topics: Any, rows: Any
) -> None:
    def moment(seconds: int) -> str:
        return f"2026-11-23T12:{seconds // 60:02}:{seconds % 60:02}.000000Z"

    def both(at: int, origin: int, status: str, **message: Any) -> tuple[Any, Any]:
        tried = moment(message.pop("tried", at))
        return (
            rows.message(moment(at), origin=origin, attempted_at=tried, **message),
            rows.delivery(moment(at), origin=origin, status=status, last_attempt_at=tried, first_attempt_at=tried),
        )

    end, guess = both(609, 0, "sent", removed_at=moment(610)), both(608, 0, "deferred")
    better = rows.batch(*both(0, 2, "deferred", tried=608, queued_at=moment(2)))
    for topic, key in ((topics.delivery_from, message_key(guess[0])), (topics.delivery_to, delivery_key(guess[1]))):
        better.add(topics, topic.name, key, None)
    for batch in (rows.batch(*end), rows.batch(*guess), better):
        writer.write(batch, {})

    assert query("SELECT status, attempts FROM delivery_to") == [("sent", 2)]
    assert query("SELECT arrived_at, removed_at IS NOT NULL FROM delivery_from") == [
        (datetime(2026, 11, 23, 12, tzinfo=UTC), True)
    ]


def test_a_bounce_whose_id_a_client_had_before_is_the_one_that_has_a_parent(
    writer: Writer, query: Any, topics: Any
) -> None:
    day = 90_000
    steps = [
        child("0 smtpd client=spam.test[192.0.2.66]"),
        lines_of(f"{day} bounce sender non-delivery notification: 9D5CB98A3F7"),
        child(f"{day} cleanup message-id=<b@mx1>", f"{day} qmgr from=<>, size=2000, nrcpt=1 (queue active)"),
    ]
    for ends in (False, True):
        told(writer, query, topics, steps, ends=ends)
        rows = query(
            "SELECT client_name, message_id, parent_queue_id FROM delivery_from WHERE queue_id = '9D5CB98A3F7' "
            "ORDER BY arrived_at"
        )
        assert rows == [("spam.test", None, None), (None, "b@mx1", "9D5CB98A3E3")]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(histories(), st.data())
def test_a_tail_that_is_read_again_changes_nothing(
    writer: Writer, query: Any, topics: Any, lines: list[Line], data: st.DataObject
) -> None:
    rows = told(writer, query, topics, [lines], ends=False)
    cut = data.draw(st.integers(0, len(lines)))
    again = data.draw(st.integers(0, len(lines)))
    steps = [lines[:cut], lines[cut:]]
    if data.draw(st.booleans()):
        steps.append(OTHER_LINES)
    if data.draw(st.booleans()):
        steps.append(lines[again:])
    else:
        steps += [[line] for line in lines[again:]]
    assert told(writer, query, topics, steps, ends=data.draw(st.booleans())) == rows
