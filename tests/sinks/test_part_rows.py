"""A part of a message whose origin was not seen joins its message, whichever of them comes first."""

import random
from itertools import permutations
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from sinks.batches import Batch
from sinks.writing import Writer
from tests.streams.conftest import Fed
from tests.streams.histories import Line, histories

pytestmark = pytest.mark.postgres

_MOST_ORDERS = 40


def at(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"2026-11-22T06:{int(minutes):02d}:{rest:09.6f}Z"


def stored(writer: Writer, query: Any, batches: Any) -> tuple[Any, Any]:
    """Store each batch in a transaction of its own; return what is there then."""
    query("DELETE FROM delivery_from; DELETE FROM delivery_to")
    for batch in batches:
        writer.write(batch, {})
    message = "SELECT queue_id, arrived_at::text, origin, sender, message_id, size, removed_at::text FROM delivery_from"
    delivery = (
        "SELECT queue_id, arrived_at::text, recipient, status, attempts, array_length(history, 1) FROM delivery_to"
    )
    return query(f"{message} ORDER BY 1, 2"), query(f"{delivery} ORDER BY 1, 2, 3")


def in_any_order(writer: Writer, query: Any, rows: Any, records: list[Any]) -> tuple[Any, Any]:
    """Store the records in many orders, one a transaction, and all in one; they must come to the same."""
    outcome = stored(writer, query, [rows.batch(*records)])
    orders = list(permutations(records))
    for order in random.Random(len(orders)).sample(orders, min(len(orders), _MOST_ORDERS)):
        assert stored(writer, query, [rows.batch(record) for record in order]) == outcome, order
        assert stored(writer, query, [rows.batch(*order)]) == outcome, order
        assert stored(writer, query, [rows.batch(record) for record in order * 2]) == outcome, order
    return outcome


def test_a_part_joins_its_message(writer: Writer, query: Any, rows: Any) -> None:
    messages, deliveries = in_any_order(
        writer, query, rows,
        [
            rows.message(at(0), sender="a@x.test"),
            rows.message(at(60), origin=0, size=9, removed_at=at(61)),
            rows.delivery(at(60), origin=0),
        ],
    )  # fmt: skip
    assert [(row[1][11:19], row[2], row[3], row[5]) for row in messages] == [("06:00:00", 2, "a@x.test", 9)]
    assert [row[1][11:19] for row in deliveries] == ["06:00:00"]


def test_several_parts_join_one_message(writer: Writer, query: Any, rows: Any) -> None:
    messages, deliveries = in_any_order(
        writer, query, rows,
        [
            rows.message(at(0), sender="a@x.test"),
            rows.message(at(60), origin=0, size=9),
            rows.delivery(at(60), origin=0, status="deferred"),
            rows.message(at(600), origin=0, removed_at=at(601)),
            rows.delivery(at(600), origin=0, status="sent"),
        ],
    )  # fmt: skip
    assert [(row[3], row[5], row[6]) for row in messages] == [("a@x.test", 9, "2026-11-22 06:10:01+00")]
    assert [(row[3], row[4], row[5]) for row in deliveries] == [("sent", 2, 1)]


def test_a_message_has_the_sender_of_the_part_that_was_queued(writer: Writer, query: Any, rows: Any) -> None:
    messages, _ = in_any_order(
        writer, query, rows,
        [
            rows.message(at(0), sender="z@web1.x.test", message_id="m"),
            rows.message(at(60), origin=0, sender="a@x.test", size=9, queued_at=at(60)),
            rows.message(at(90), origin=0, sender=""),
        ],
    )  # fmt: skip
    assert [(row[3], row[4], row[5]) for row in messages] == [("a@x.test", "m", 9)]


def test_recipients_of_several_parts_join_their_message_in_one_batch(writer: Writer, query: Any, rows: Any) -> None:
    parts = [rows.delivery(at(60 * n), origin=0, recipient=f"{n}@example.org") for n in range(1, 5)]
    messages, deliveries = stored(writer, query, [rows.batch(rows.message(at(0))), rows.batch(*parts)])
    assert len(messages) == 1
    assert {row[1] for row in deliveries} == {"2026-11-22 06:00:00+00"}
    assert len(deliveries) == 4


def test_cleanups_line_joins_the_client_that_came_just_before(writer: Writer, query: Any, rows: Any) -> None:
    messages, _ = in_any_order(
        writer, query, rows,
        [rows.message(at(0), sender="a@x.test"), rows.message(at(2), origin=1, message_id="m"), rows.delivery(at(3))],
    )  # fmt: skip
    assert [(row[2], row[3], row[4]) for row in messages] == [(2, "a@x.test", "m")]


def test_a_part_does_not_join_a_message_that_came_after_it_ended(writer: Writer, query: Any, rows: Any) -> None:
    messages, _ = in_any_order(
        writer, query, rows,
        [rows.message(at(0), origin=0, size=1, removed_at=at(1)), rows.message(at(3), sender="next@x.test")],
    )  # fmt: skip
    assert [(row[2], row[3]) for row in messages] == [(0, None), (2, "next@x.test")]


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        ({"queue_id": "9D5CB98A3E4"}, "another slot"),
        ({"host": "mx2"}, "another host"),
        ({"arrived_at": "2026-11-29T06:00:00.000000Z"}, "after the queue lifetime"),
        ({"arrived_at": "2026-11-22T05:59:50.000000Z"}, "before the message"),
    ],
)
def test_a_part_stays_alone(writer: Writer, query: Any, rows: Any, part: dict[str, str], reason: str) -> None:
    stranger = rows.message(**({"arrived_at": at(9), "origin": 0} | part))
    messages, _ = in_any_order(writer, query, rows, [rows.message(sender="a@x.test"), stranger])
    assert len(messages) == 2, reason


def test_the_newest_message_of_the_slot_takes_the_part(writer: Writer, query: Any, rows: Any) -> None:
    first = rows.message(at(0), sender="first@x.test", removed_at=at(1))
    second = rows.message(at(30), sender="second@x.test", removed_at=at(70))
    part = rows.message(at(60), origin=0, size=9)
    messages, _ = in_any_order(writer, query, rows, [first, second, part])
    assert [(row[3], row[5]) for row in messages] == [("first@x.test", None), ("second@x.test", 9)]


def test_a_bounce_learns_its_parent_whichever_is_logged_first(writer: Writer, query: Any, rows: Any) -> None:
    for named in (at(0), at(10)):
        child = rows.message(named, origin=0, parent_queue_id="AAAAAA1")
        bounce = rows.message(at(4), origin=1, message_id="m")
        in_any_order(writer, query, rows, [child, bounce])
        assert query("SELECT parent_queue_id, message_id, origin FROM delivery_from") == [("AAAAAA1", "m", 1)]


OTHER_LINES: list[Line] = [(100_000.0, "postfix/smtpd", "connect from c.test[192.0.2.1]")]
"""Time goes on with them."""


def merged(steps: list[tuple[list[Line], bool]], topics: Any) -> list[Batch]:
    """Return what a stage writes of the lines of *steps*, and of other lines later; True: a batch ends after them."""
    fed, batches, written = Fed(), [Batch()], 0
    for lines, ends in (*steps, (OTHER_LINES, False), (OTHER_LINES, False)):
        fed.feed(*lines)
        for write in fed.writes[written:]:
            if "delivery" in write.topic:
                batches[-1].add(topics, write.topic, write.key, write.value)
        written = len(fed.writes)
        if ends:
            batches.append(Batch())
    return [batch for batch in batches if len(batch) or batch.withdrawn]


def lines_of(*texts: str) -> list[tuple[float, str, str]]:
    """Return log lines, ``seconds daemon text`` each, of one queue id."""
    split = [text.split(" ", 2) for text in texts]
    return [(float(seconds), f"postfix/{daemon}", f"9D5CB98A3E3: {text}") for seconds, daemon, text in split]


BEFORE = lines_of(
    "0 smtpd client=c.test[192.0.2.1]", "1 cleanup message-id=<m@s.test>",
    "1 qmgr from=<a@s.test>, size=541, nrcpt=3 (queue active)",
    "2 smtp to=<a@x.test>, relay=r, delay=1, dsn=2.0.0, status=sent (x)",
    "2 smtp to=<b@x.test>, relay=r, delay=1, dsn=4.0.0, status=deferred (x)",
    "2 smtp to=<c@x.test>, relay=r, delay=1, dsn=4.0.0, status=deferred (x)",
)  # fmt: skip
AFTER = lines_of(
    "600 qmgr from=<a@s.test>, size=541, nrcpt=3 (queue active)",
    "601 smtp to=<b@x.test>, relay=r, delay=600, dsn=2.0.0, status=sent (x)",
    "602 smtp to=<c@x.test>, relay=r, delay=601, dsn=4.0.0, status=deferred (x)",
)  # fmt: skip
LATER = lines_of(
    "1200 qmgr from=<a@s.test>, size=541, nrcpt=3 (queue active)",
    "1201 smtp to=<c@x.test>, relay=r, delay=1201, dsn=2.0.0, status=sent (x)", "1202 qmgr removed",
)  # fmt: skip


@pytest.mark.parametrize("logs", list(permutations([BEFORE, AFTER, LATER])))
def test_rotated_logs_read_in_any_order_come_to_the_same(writer: Writer, query: Any, topics: Any, logs: Any) -> None:
    outcome = stored(writer, query, merged([(BEFORE + AFTER + LATER, False)], topics))
    assert [(row[2], row[3]) for row in outcome[1]] == [(f"{name}@x.test", "sent") for name in "abc"]
    for ends in (False, True):
        steps = [(part, ends) for log in logs for part in (log, OTHER_LINES)]
        assert stored(writer, query, merged(steps, topics)) == outcome


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(histories(), st.data())
def test_lines_in_any_order_with_others_between_come_to_the_same(
    writer: Writer, query: Any, topics: Any, lines: list[Line], data: st.DataObject
) -> None:
    assume(any("client=" in text or "uid=" in text for _, _, text in lines))  # else its arrival is a guess
    outcome = stored(writer, query, merged([(lines, False)], topics))
    steps = [([lines[n]], data.draw(st.booleans())) for n in data.draw(st.permutations(range(len(lines))))]
    if data.draw(st.booleans()):
        steps.insert(data.draw(st.integers(0, len(steps))), (OTHER_LINES, False))
    assert stored(writer, query, merged(steps, topics)) == outcome
