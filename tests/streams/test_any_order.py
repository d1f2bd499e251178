"""The lines of a message, in any order and any number of times, make the same rows."""

from typing import TYPE_CHECKING

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from schemas.deliveries import ORIGIN_SURE, DeliveryFrom, DeliveryTo, decode_delivery_from, decode_delivery_to
from schemas.merging import merge_deliveries, merge_messages
from tests.streams.histories import Line, histories, slots

if TYPE_CHECKING:
    from tests.streams.conftest import Fed


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
            successor.state.restore(pieces.changelog, pieces.state.progress)
            successor.writes = pieces.writes
            pieces = successor
    pieces.writes += pieces.state.checkpoint()

    assert rows_of(pieces) == rows_of(whole)


def stored(fed: "Fed") -> tuple[list[DeliveryFrom], list[DeliveryTo]]:
    """Return what a sink leaves that writes each record by itself: a tombstone takes all unsure rows of its message."""
    messages: dict[tuple[str, ...], DeliveryFrom] = {}
    deliveries: dict[tuple[str, ...], DeliveryTo] = {}
    for write in fed.writes:
        if write.topic not in {fed.topics.delivery_from.name, fed.topics.delivery_to.name}:
            continue
        name = tuple(msgspec.json.decode(write.key))
        if write.value is None:
            messages = {key: row for key, row in messages.items() if key != name[:3] or row.origin == ORIGIN_SURE}
            deliveries = {
                key: row for key, row in deliveries.items() if key[:3] != name[:3] or row.origin == ORIGIN_SURE
            }
        elif write.topic == fed.topics.delivery_from.name:
            message = decode_delivery_from(write.value)
            merge_messages(messages.setdefault(name, message), message)
        else:
            delivery = decode_delivery_to(write.value)
            merge_deliveries(deliveries.setdefault(name, delivery), delivery)
    return list(messages.values()), list(deliveries.values())


@given(slots(), st.data())
def test_no_recipient_is_lost_however_late_a_line_comes(
    new_fed: type["Fed"], lines: list[Line], data: st.DataObject
) -> None:
    fed = new_fed()
    for number in data.draw(st.permutations(range(len(lines)))):
        fed.feed(lines[number], checkpoint=data.draw(st.booleans()))
    fed.writes += fed.state.checkpoint()

    messages, deliveries = stored(fed)
    logged = {text[text.index("<") + 1 : text.index(">")] for _, _, text in lines if "status=" in text}
    assert {row.recipient for row in deliveries} >= logged
    attempted = [message.attempted_at for message in messages if message.attempted_at]
    assert min(attempted, default=None) == min((row.first_attempt_at for row in deliveries), default=None)


def attempt(at: float, recipient: str, status: str) -> Line:
    return (at, "postfix/smtp", f"9D5CB98A3E3: to=<{recipient}>, relay=r, delay=1, dsn=2.0.0, status={status} (x)")


CLIENT = (0.0, "postfix/smtpd", "9D5CB98A3E3: client=c.test[192.0.2.1]")
QUEUED = (1.0, "postfix/qmgr", "9D5CB98A3E3: from=<a@s>, size=541, nrcpt=2 (queue active)")
REMOVED = (2.0, "postfix/qmgr", "9D5CB98A3E3: removed")
ANOTHER = (60.0, "postfix/smtpd", "connect from c.test[192.0.2.1]")


def test_what_was_written_under_a_guess_is_taken_back_with_the_recipients_that_are_done(fed: "Fed") -> None:
    fed.feed(QUEUED, attempt(1, "b@x.test", "sent"), attempt(2, "c@x.test", "bounced"), REMOVED)
    fed.feed(CLIENT)

    last = {(write.topic, write.key): write.value for write in fed.writes}
    assert {row["arrived_at"] for row in fed.messages} == {"2023-11-14T22:13:20.000000Z"}
    assert len(fed.values(fed.topics.delivery_to.name)) == 2
    assert sum(value is None for (topic, _), value in last.items() if topic == fed.topics.delivery_to.name) == 2


def test_a_recipient_that_is_gone_stays_where_it_is_when_its_message_turns_out_to_be_older(fed: "Fed") -> None:
    fed.feed(QUEUED, attempt(1, "b@x.test", "sent"), attempt(2, "c@x.test", "deferred"))
    fed.feed(ANOTHER)
    fed.feed(ANOTHER, CLIENT)  # from the log before, which was read later
    fed.feed(attempt(90, "c@x.test", "sent"), (91.0, "postfix/qmgr", "9D5CB98A3E3: removed"))

    _, deliveries = stored(fed)
    assert {row.recipient for row in deliveries if row.status == "sent"} == {"b@x.test", "c@x.test"}
