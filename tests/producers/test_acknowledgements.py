"""Positions are ready only behind acknowledged records."""

from hypothesis import given
from hypothesis import strategies as st

from producers.acknowledgements import Acknowledgements
from schemas.raw import StreamPosition


def at(lines: int) -> StreamPosition:
    return StreamPosition(lines=lines)


def test_a_position_waits_for_all_records_before_it() -> None:
    acknowledgements = Acknowledgements()
    first, second = acknowledgements.sent(), acknowledgements.sent()
    acknowledgements.mark("a", at(2))
    third = acknowledgements.sent()
    acknowledgements.mark("a", at(3))

    acknowledgements.acknowledged(third)
    acknowledgements.acknowledged(second)
    assert acknowledgements.take_ready() == {}
    acknowledgements.acknowledged(first)

    assert acknowledgements.take_ready() == {"a": at(3)}
    assert acknowledgements.take_ready() == {}


def test_a_mark_with_nothing_before_it_is_ready_at_once() -> None:
    acknowledgements = Acknowledgements()
    acknowledgements.mark("a", at(0))
    acknowledgements.mark("b", at(1))

    assert acknowledgements.take_ready() == {"a": at(0), "b": at(1)}


@given(st.lists(st.sampled_from(["send", "mark", "acknowledge"])), st.data())
def test_no_order_of_acknowledgements_lets_a_position_overtake(steps: list[str], data: st.DataObject) -> None:
    acknowledgements = Acknowledgements()
    waiting = []
    sent = 0
    for step in steps:
        if step == "send":
            sent += 1
            waiting.append((sent, acknowledgements.sent()))
        elif step == "mark":
            acknowledgements.mark("a", at(sent))
        elif waiting:
            acknowledgements.acknowledged(waiting.pop(data.draw(st.integers(0, len(waiting) - 1)))[1])
        for position in acknowledgements.take_ready().values():
            assert position.lines < min((number for number, _ in waiting), default=sent + 1)


def test_a_record_waits_until_its_position_is_saved() -> None:
    now = 100.0
    acknowledgements = Acknowledgements(lambda: now)
    assert acknowledgements.unsaved_seconds == 0

    first = acknowledgements.sent()
    now += 5
    acknowledgements.mark("a", at(1))
    second = acknowledgements.sent()
    assert acknowledgements.unsaved_seconds == 5
    acknowledgements.acknowledged(first)
    now += 1
    assert acknowledgements.take_ready() == {"a": at(1)}
    assert acknowledgements.unsaved_seconds == 6  # it is not saved before Kafka says so

    acknowledgements.saved()
    assert acknowledgements.unsaved_seconds == 1  # the second, which has no mark yet
    acknowledgements.acknowledged(second)
    acknowledgements.mark("a", at(2))
    acknowledgements.take_ready()
    acknowledgements.saved()
    assert acknowledgements.unsaved_seconds == 0
