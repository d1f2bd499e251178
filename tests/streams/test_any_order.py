"""The lines of a message, in any order and any number of times, make the same rows."""

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

if TYPE_CHECKING:
    from tests.streams.conftest import Fed

Line = tuple[float, str, str]

RECIPIENTS = ["b@x.test", "c@x.test", '"d d"@x.test']


@st.composite
def histories(draw: st.DrawFn) -> list[Line]:  # noqa: C901 - one branch for each thing that may happen
    """The lines of one message as Postfix could have logged them, in that order."""
    queue_id = draw(st.sampled_from(["9D5CB98A3E3", "4STW2c002Nz5Q"]))
    arrival = draw(st.sampled_from(["smtpd", "pickup", "internal", "unseen"]))
    clock = 0.0
    lines: list[Line] = []

    def log(daemon: str, text: str) -> None:
        lines.append((clock, f"postfix/{daemon}", f"{queue_id}: {text}"))

    if arrival == "smtpd":
        log("smtpd", "client=c.test[192.0.2.1], sasl_method=PLAIN, sasl_username=erika")
        if draw(st.booleans()):
            log(
                "smtpd",
                "reject: RCPT from c.test[192.0.2.1]: 550 5.1.1 <n@x>: no; from=<a@s> to=<n@x> proto=SMTP helo=<h>",
            )
    if arrival == "pickup":
        log("pickup", "uid=0 from=<root>")
    clock += draw(st.sampled_from([0, 1, 30]))
    if arrival != "unseen":
        log("cleanup", "message-id=<m@s.test>")
        if draw(st.booleans()):
            log("cleanup", "resent-message-id=<n@s.test>")
    if draw(st.booleans()):
        log("cleanup", "hold: header X: y from c.test[192.0.2.1]; from=<a@s> to=<n@x> proto=SMTP helo=<h>: held")
        clock += draw(st.sampled_from([0, 100]))
        log("postsuper", "released from hold")
    for _ in range(draw(st.integers(1, 3))):
        log("qmgr", "from=<a@s>, size=541, nrcpt=3 (queue active)")
        for recipient in RECIPIENTS:
            status = draw(st.sampled_from(["sent", "deferred", "bounced", None]))
            if status is not None:
                clock += draw(st.sampled_from([0, 1]))
                log("smtp", f"to=<{recipient}>, relay=r, delay={clock}, delays=0/0/0/1, dsn=2.0.0, status={status} (x)")
        clock += draw(st.sampled_from([1, 4000]))
    log(
        *draw(
            st.sampled_from([("qmgr", "removed"), ("postsuper", "removed"), ("qmgr", "skipped, still being delivered")])
        )
    )
    return lines


def rows_of(fed: "Fed") -> tuple[object, object]:
    return fed.messages, fed.deliveries


@given(histories(), st.data())
def test_any_order_and_any_repetition_within_a_record(
    new_fed: type["Fed"], lines: list[Line], data: st.DataObject
) -> None:
    in_order, shuffled = new_fed(), new_fed()
    in_order.feed(*lines)
    order = data.draw(st.permutations(range(len(lines))))
    again = data.draw(st.lists(st.sampled_from(range(len(lines))), max_size=5))
    batch = in_order.batch(lines)
    raw = [batch.lines[n] for n in (*order, *again)]
    shuffled.state.merge(type(batch)(host=batch.host, source="test", position=batch.position, lines=raw))
    shuffled.writes += shuffled.state.checkpoint()

    assert rows_of(shuffled) == rows_of(in_order)


@given(histories(), st.data())
def test_in_order_the_rows_do_not_depend_on_where_records_checkpoints_and_workers_end(
    new_fed: type["Fed"], lines: list[Line], data: st.DataObject
) -> None:
    whole, pieces = new_fed(), new_fed()
    whole.feed(*lines)
    for line in lines:
        written = data.draw(st.booleans())
        pieces.feed(line, checkpoint=written)
        if written and data.draw(st.booleans()):
            successor = new_fed()
            successor.state.restore(pieces.changelog)
            successor.state.progress = pieces.state.progress
            successor.writes = pieces.writes
            pieces = successor
    pieces.writes += pieces.state.checkpoint()

    assert rows_of(pieces) == rows_of(whole)
