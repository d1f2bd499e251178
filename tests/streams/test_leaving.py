"""When a message leaves the state: as soon as no line can change it any more, by the clock of its host's log."""

from typing import TYPE_CHECKING

import pytest

from schemas.timestamps import to_text
from tests.streams.conftest import SECOND, START

if TYPE_CHECKING:
    from tests.streams.conftest import Fed
    from tests.streams.histories import Line

ID = "9D5CB98A3E3"
LONG = "4SVLCh002Mz5Q"
MOMENT = 1 / SECOND


def line(at: float, daemon: str, text: str, queue_id: str = ID) -> "Line":
    return (at, f"postfix/{daemon}", f"{queue_id}: {text}")


def client(at: float, queue_id: str = ID) -> "Line":
    return line(at, "smtpd", "client=c.test[192.0.2.1]", queue_id)


def removed(at: float, queue_id: str = ID) -> "Line":
    return line(at, "qmgr", "removed", queue_id)


REJECTED = line(9, "cleanup", "reject: body SPAM from local; from=<root@src.test> to=<r1@ok.test>: 5.7.1 no spam")
DISCARDED = line(9, "cleanup", "milter-discard: END-OF-MESSAGE from n.test[192.0.2.1]: milter triggers DISCARD action; "
                               "from=<a@b.test> to=<c@d.test> proto=ESMTP helo=<h>")  # fmt: skip
DEFERRED = "to=<c@x.test>, relay=r, delay=1, dsn=4.0.0, status=deferred (x)"
QUEUED = line(0, "qmgr", "from=<a@src.test>, size=541, nrcpt=1 (queue active)")


@pytest.mark.parametrize(
    ("lines", "leaves"),
    [
        pytest.param([client(0.5), removed(9)], 9, id="delivered"),
        pytest.param([client(0.5), line(9, "postsuper", "removed")], 9, id="deleted"),
        pytest.param([client(0.5), line(9, "cleanup", "removed (canceled)")], 9, id="cancelled"),
        pytest.param([client(0.5), line(9, "postsuper", "requeued")], 9, id="requeued"),
        pytest.param([client(9), removed(9)], 10, id="in the second of its beginning: the id may come again in it"),
        pytest.param([client(8.5), removed(9)], 9, id="in the same, of a log that tells more than seconds"),
        pytest.param([client(0.5), REJECTED], 14, id="refused: lines may follow"),
        pytest.param([client(0.5), DISCARDED], 14, id="discarded: lines may follow"),
        pytest.param([client(0.5), REJECTED, removed(10)], 10, id="refused, and gone"),
        pytest.param([removed(9)], 14, id="without its beginning, which may come late"),
        pytest.param([QUEUED, removed(9)], 9, id="without its beginning, which came not"),
        pytest.param([QUEUED, REJECTED], 14, id="without its beginning, and refused"),
        pytest.param([removed(9, LONG)], 9, id="with a long id, which is its beginning"),
    ],
)
def test_a_message_that_ended_leaves_when_no_line_can_change_it(fed: "Fed", lines: "list[Line]", leaves: float) -> None:
    fed.feed(*lines)
    if leaves > lines[-1][0]:
        fed.feed((leaves - MOMENT, "postfix/smtpd", "connect from c.test[192.0.2.1]"))
        assert len(fed.state) == 1
        fed.feed((leaves, "postfix/smtpd", "connect from c.test[192.0.2.1]"))
    assert len(fed.state) == 0
    assert fed.changelog == {}
    assert len(fed.messages) == 1


def test_a_message_knows_its_first_attempt_in_whatever_order_its_lines_come(fed: "Fed") -> None:
    fed.feed(client(0.5))
    for at in (40, 20, 30):
        fed.feed(line(at, "smtp", f"to=<{at}@x.test>, relay=none, delay=1, dsn=4.4.1, status=deferred (x)"))
        fed.feed(line(at, "smtp", "to=<b@x.test>, relay=none, delay=1, dsn=4.4.1, status=deferred (x)"))
    [message] = fed.messages
    assert message["attempted_at"] == fed.deliveries[ID, "b@x.test", ""].first_attempt_at
    assert message["attempted_at"] == to_text(START + 20 * SECOND)


def test_recipients_that_are_done_leave_once_the_beginning_of_their_message_has_had_its_time(fed: "Fed") -> None:
    done = line(1, "smtp", "to=<b@x.test>, relay=r, delay=1, dsn=2.0.0, status=sent (x)")
    fed.feed(QUEUED, done, line(1, "smtp", DEFERRED))
    for at, held in ((5 - MOMENT, True), (5, False)):
        fed.feed((at, "postfix/smtpd", "connect from c.test[192.0.2.1]"))
        [value] = fed.changelog.values()
        assert b"c@x.test" in value
        assert (b"b@x.test" in value) is held
    assert len(fed.deliveries) == 2


@pytest.mark.parametrize("checkpoint", [True, False])
def test_what_turned_out_to_be_part_of_another_message_is_taken_back_once(fed: "Fed", *, checkpoint: bool) -> None:
    def withdrawn() -> int:
        return sum(write.value is None and write.topic == fed.topics.delivery_from.name for write in fed.writes)

    fed.feed(line(60, "cleanup", "message-id=<m@src.test>"), line(30, "smtp", DEFERRED), checkpoint=checkpoint)
    fed.feed(client(0))
    assert withdrawn() == checkpoint
    assert [row["arrived_at"] for row in fed.messages if row.get("origin")] == [to_text(START)]
    assert len(fed.changelog) == 1
    fed.writes.clear()
    fed.feed(line(61, "smtp", DEFERRED))
    assert withdrawn() == 0
