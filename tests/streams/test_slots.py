"""Which message a line belongs to, where its queue id is used more than once: lines of one record, in their order."""

from typing import TYPE_CHECKING

import pytest

from schemas.deliveries import ORIGIN_CLEANUP, ORIGIN_SURE, ORIGIN_UNSEEN
from schemas.timestamps import to_text
from tests.streams.conftest import SECOND, START

if TYPE_CHECKING:
    from tests.streams.conftest import Fed
    from tests.streams.histories import Line

ID = "9D5CB98A3E3"
LIFETIME = 6 * 86_400


def client(at: float) -> "Line":
    return (at, "postfix/smtpd", f"{ID}: client=c.test[192.0.2.1]")


def cleanup(at: float) -> "Line":
    return (at, "postfix/cleanup", f"{ID}: message-id=<{at}@src.test>")


def active(at: float) -> "Line":
    return (at, "postfix/qmgr", f"{ID}: from=<a@src.test>, size=541, nrcpt=1 (queue active)")


def attempt(at: float) -> "Line":
    return (at, "postfix/smtp", f"{ID}: to=<{at}@x.test>, relay=r, delay=1, dsn=4.0.0, status=deferred (x)")


def removed(at: float) -> "Line":
    return (at, "postfix/qmgr", f"{ID}: removed")


@pytest.mark.parametrize(
    ("lines", "arrivals"),
    [
        pytest.param([client(0), cleanup(1), active(1), attempt(2), removed(3)], [0, 0, 0, 0, 0], id="one"),
        pytest.param([client(0), cleanup(3599)], [0, 0], id="a client that takes an hour to send its header"),
        pytest.param([client(0), cleanup(3600)], [0, 3600], id="one that takes longer: another's"),
        pytest.param([cleanup(0), cleanup(3599)], [0, 0], id="a second message-id"),
        pytest.param([cleanup(0), cleanup(3600)], [0, 3600], id="one much later: another's"),
        pytest.param([cleanup(0), active(0), cleanup(5)], [0, 0, 0], id="a message-id that the queue manager overtook"),
        pytest.param(
            [cleanup(0), active(0), cleanup(6)], [0, 0, 6],
            id="one long after the message was queued: another's",
        ),
        pytest.param([removed(0), cleanup(5)], [5, 5], id="a message-id that the end overtook"),
        pytest.param([removed(0), cleanup(6)], [0, 6], id="one long after an end: another's"),
        pytest.param([cleanup(0), removed(0), cleanup(1)], [0, 0, 1], id="another one after the end: another's"),
        pytest.param([cleanup(0), removed(0), cleanup(6)], [0, 0, 6], id="one long after the end: another's"),
        pytest.param([cleanup(0), removed(0), attempt(5)], [0, 0, 0], id="an attempt that the end overtook"),
        pytest.param([cleanup(0), removed(0), attempt(6)], [0, 0, 6], id="an attempt long after the end: another's"),
        pytest.param([client(0.5), attempt(LIFETIME)], [0.5, 0.5], id="an attempt as long as a queue holds a message"),
        pytest.param([client(0), attempt(LIFETIME)], [0, LIFETIME], id="an attempt when no queue holds it any more"),
        pytest.param([attempt(25), client(30)], [30, 30], id="an attempt that overtook its client"),
        pytest.param([attempt(24), client(30)], [24, 30], id="one long before it: another's"),
        pytest.param([removed(29), client(30)], [29, 30], id="an end just before a client: another's"),
        pytest.param([removed(30), client(30)], [30, 30], id="an end in its second"),
        pytest.param([cleanup(3629), client(30)], [30, 30], id="a message-id, then its client of an hour before"),
        pytest.param([cleanup(3630), client(30)], [3630, 30], id="a client of longer before: another's"),
        pytest.param([attempt(29 + LIFETIME), client(30)], [30, 30], id="an attempt, then its client of days before"),
        pytest.param([attempt(30 + LIFETIME), client(30)], [30 + LIFETIME, 30], id="of longer before: another's"),
        pytest.param([attempt(60), attempt(30)], [30, 30], id="of a message whose beginning was not seen, backwards"),
        pytest.param([attempt(LIFETIME), attempt(0)], [LIFETIME, 0], id="too far backwards: another's"),
        pytest.param([client(30), attempt(25)], [30, 30], id="an attempt that was logged a moment before its client"),
        pytest.param([client(30), attempt(24)], [30, 24], id="long before it: another's"),
        pytest.param(
            [client(0), client(60), attempt(61), attempt(1), attempt(60)], [0, 60, 60, 0, 60],
            id="attempts of two, mixed",
        ),
        pytest.param(
            [client(0), client(0.5), attempt(0.7), attempt(9)], [0, 0.5, 0.5, 0.5],
            id="of two of one second, the one that began last",
        ),
        pytest.param([client(60), client(0), attempt(61), attempt(1)], [60, 0, 60, 0], id="of two, backwards"),
        pytest.param([cleanup(60), client(0), cleanup(1)], [0, 0, 0], id="what a client turns out to have begun"),
        pytest.param([attempt(60), attempt(90), client(0), attempt(1)], [0, 0, 0, 0], id="and all that follows"),
        pytest.param([attempt(0), attempt(LIFETIME - 1)], [0, 0], id="hours after the first line that was seen"),
        pytest.param([attempt(0), attempt(LIFETIME)], [0, LIFETIME], id="so long after it that no queue holds both"),
        pytest.param([attempt(0), cleanup(5)], [5, 5], id="a message-id that attempts overtook"),
        pytest.param([attempt(0), cleanup(6), attempt(7)], [0, 0, 0], id="a message-id long after one: its message's"),
        pytest.param([attempt(0), cleanup(3600)], [0, 3600], id="an hour after one: another's"),
        pytest.param([attempt(60), cleanup(30)], [30, 30], id="a message-id of before what was seen"),
        pytest.param([attempt(30 + LIFETIME), cleanup(30)], [30 + LIFETIME, 30], id="of longer before: another's"),
        pytest.param([cleanup(60), attempt(30)], [60, 30], id="an attempt before a message-id: another's"),
        pytest.param([cleanup(60), attempt(61), attempt(30), client(0)], [0, 0, 0, 0], id="and all before it"),
        pytest.param([client(0), client(100), attempt(50)], [0, 100, 0], id="two clients, and a part between them"),
    ],
)  # fmt: skip
def test_a_line_belongs_to_the_message_that_was_in_the_queue_then(
    fed: "Fed", lines: "list[Line]", arrivals: list[float]
) -> None:
    """*arrivals* has, for each line, when its message arrived."""
    fed.feed(*lines)
    told = [to_text(START + int(at * SECOND)) for at in arrivals]
    of = {at: [line for line, arrived in zip(lines, told, strict=True) if arrived == at] for at in sorted(set(told))}
    assert [row["arrived_at"] for row in fed.messages] == list(of)
    for row, own in zip(fed.messages, of.values(), strict=True):
        ids = [f"{at}@src.test" for at, program, _ in own if program == "postfix/cleanup"]
        began = any(program == "postfix/smtpd" for _, program, _ in own)
        assert row.get("message_id") == max(ids, default=None)
        assert row.get("origin", ORIGIN_UNSEEN) == (ORIGIN_SURE if began else ORIGIN_CLEANUP if ids else ORIGIN_UNSEEN)
    attempts = {f"{line[0]}@x.test": at for at, own in of.items() for line in own if line[1] == "postfix/smtp"}
    assert {row.recipient: row.arrived_at for row in fed.deliveries.values()} == attempts
    assert len(fed.values(fed.topics.delivery_to.name)) == len(attempts)
