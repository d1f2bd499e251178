"""Restored messages that wait for their next attempt rest: they are not read before a line of theirs comes."""

from typing import TYPE_CHECKING, Any

import pytest

from streams.changelog import rests

if TYPE_CHECKING:
    from tests.streams.conftest import Fed

DAY = 86_400


def begin(queue_id: str, at: float = 0) -> list[tuple[float, str, str]]:
    return [
        (at, "postfix/smtpd", f"{queue_id}: client=c[192.0.2.9]"),
        (at, "postfix/qmgr", f"{queue_id}: from=<a@src.test>, size=1, nrcpt=2 (queue active)"),
    ]


def attempt(queue_id: str, at: float, status: str, recipient: str = "b@x.test") -> tuple[float, str, str]:
    said = f"to=<{recipient}>, relay=r[192.0.2.1]:25, delay=1, delays=0/0/0/1, dsn=2.0.0, status={status} (x)"
    return (at, "postfix/smtp", f"{queue_id}: {said}")


@pytest.fixture
def pair(fed: "Fed", new_fed: type["Fed"]) -> tuple["Fed", "Fed"]:
    """Give a state with messages that are deferred, and one that took over from it."""
    ids = [f"9D5CB98A3E{n}" for n in range(8)]
    fed.feed(*(line for queue_id in ids for line in (*begin(queue_id), attempt(queue_id, 1, "deferred"))))
    fed.feed(*(attempt(ids[0], 2, "deferred", f"r{n}@x.test") for n in range(100)))  # in several records
    taken_over = new_fed()
    taken_over.state.restore(fed.changelog)
    fed.writes.clear()
    return fed, taken_over


def awake(fed: "Fed") -> set[str]:
    [host] = fed.state._hosts.values()
    return set(host.slots.messages)


def both(pair: tuple["Fed", "Fed"], *lines: Any) -> None:
    for one in pair:
        one.feed(*lines)
    assert pair[0].writes == pair[1].writes
    assert len(pair[0].state) == len(pair[1].state)


def test_none_is_read_when_they_are_restored(pair: tuple["Fed", "Fed"]) -> None:
    assert awake(pair[1]) == set()
    assert len(pair[1].state) == len(pair[0].state) == 8


def test_a_line_wakes_its_message_and_no_other(pair: tuple["Fed", "Fed"]) -> None:
    both(pair, attempt("9D5CB98A3E3", 600, "deferred"))
    assert awake(pair[1]) == {"9D5CB98A3E3"}
    both(pair, attempt("9D5CB98A3E3", 700, "sent"), (701, "postfix/qmgr", "9D5CB98A3E3: removed"))
    both(pair, attempt("9D5CB98A3E0", 800, "sent", "r50@x.test"))
    assert len(pair[1].state) == 7


def test_an_id_that_comes_again_finds_the_message_that_rests(pair: tuple["Fed", "Fed"]) -> None:
    both(pair, *begin("9D5CB98A3E4", 2 * DAY), attempt("9D5CB98A3E4", 2 * DAY, "sent", "c@x.test"))


def test_two_of_one_id_are_told_apart_in_whatever_order_the_changelog_has_them(
    fed: "Fed", new_fed: type["Fed"]
) -> None:
    for at in (0, DAY, 2 * DAY):
        fed.feed(*begin("9D5CB98A3E3", at), attempt("9D5CB98A3E3", at + 1, "deferred", f"{at}@x.test"))
    for order in (sorted(fed.changelog.items()), sorted(fed.changelog.items(), reverse=True)):
        taken_over = new_fed()
        taken_over.state.restore(dict(order))
        taken_over.feed(*(attempt("9D5CB98A3E3", at + 600, "sent", f"{at}@x.test") for at in (2 * DAY, 0, DAY)))
        assert {row.recipient: row.attempts for row in taken_over.deliveries.values()} == {
            f"{at}@x.test": 2 for at in (0, DAY, 2 * DAY)
        }


def test_those_that_no_queue_can_hold_any_more_leave_from_their_rest(pair: tuple["Fed", "Fed"]) -> None:
    both(pair, *begin("AAAAA98A3E4", 20 * DAY), attempt("AAAAA98A3E4", 20 * DAY, "deferred"))
    assert len(pair[1].state) == 1
    assert any(write.value is None for write in pair[1].writes)


def test_what_time_alone_will_change_does_not_rest(fed: "Fed", new_fed: type["Fed"]) -> None:
    fed.feed((1, "postfix/qmgr", "9D5CB98A3E1: from=<a@src.test>, size=1, nrcpt=1 (queue active)"))  # no origin seen
    fed.feed(*begin("9D5CB98A3E2", 1), (1, "postfix/qmgr", "9D5CB98A3E2: removed"))  # the id may come again
    assert len(fed.changelog) == 2
    assert not any(rests(value) for value in fed.changelog.values())
    taken_over = new_fed()
    taken_over.state.restore(fed.changelog)
    fed.writes.clear()
    both((fed, taken_over), (60, "postfix/smtpd", "connect from x[192.0.2.1]"))
    assert len(fed.state) == 1


def test_what_time_alone_will_change_does_not_rest_though_another_message_of_its_id_does(
    fed: "Fed", new_fed: type["Fed"]
) -> None:
    fed.feed(*begin("9D5CB98A3E3"), attempt("9D5CB98A3E3", 1, "deferred"))
    fed.feed(*begin("9D5CB98A3E3", DAY), (DAY, "postfix/qmgr", "9D5CB98A3E3: removed"))  # the id may come again
    assert sorted(rests(value) for value in fed.changelog.values()) == [False, True]
    taken_over = new_fed()
    taken_over.state.restore(fed.changelog)
    fed.writes.clear()
    both((fed, taken_over), (DAY + 60, "postfix/smtpd", "connect from x[192.0.2.1]"))
    assert any(write.value is None for write in fed.writes)


def test_records_of_versions_that_did_not_say_it_are_read_at_once(fed: "Fed", new_fed: type["Fed"]) -> None:
    fed.feed(*begin("9D5CB98A3E3"), attempt("9D5CB98A3E3", 1, "deferred"))
    before = {key: bytes([value[0] - 1]) + value[1:-1] for key, value in fed.changelog.items()}
    older = new_fed()
    older.state.restore(before)
    fed.writes.clear()
    assert awake(older) == {"9D5CB98A3E3"}
    both((fed, older), attempt("9D5CB98A3E3", 600, "sent"), (601, "postfix/qmgr", "9D5CB98A3E3: removed"))
