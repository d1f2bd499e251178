from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from schemas.deliveries import DeliveryFrom, DeliveryTo
from schemas.merging import attempt_entry
from web.searches.journey import Hop, events_of

AT = datetime(2026, 11, 23, 6, 28, 35, tzinfo=UTC)


def message(**known: Any) -> dict[str, Any]:
    fields = dict.fromkeys(DeliveryFrom.__struct_fields__)
    return fields | {"host": "mx1", "queue_id": "9D5CB98A3E3", "arrived_at": AT} | known


def delivery(**known: Any) -> dict[str, Any]:
    fields = dict.fromkeys((*DeliveryTo.__struct_fields__, "effective_status"))
    return fields | {"recipient": "bob@example.net", "last_attempt_at": AT, "status": "sent", "history": []} | known


def after(seconds: int) -> datetime:
    return AT + timedelta(seconds=seconds)


def test_what_happened_comes_in_the_order_of_time() -> None:
    hop = Hop(
        message=message(removed_at=after(9), held_at=after(1), released_at=after(3)),
        deliveries=[delivery(last_attempt_at=after(9)), delivery(status="deferred", last_attempt_at=after(5))],
    )
    assert [event.what for event in events_of(hop)] == ["arrived", "held", "released", "deferred", "sent", "removed"]


def test_earlier_attempts_are_read_from_the_history() -> None:
    earlier = DeliveryTo(
        host="mx1", queue_id="9D5CB98A3E3", arrived_at="", recipient="bob@example.net", status="deferred", dsn="4.4.1",
        last_attempt_at="2026-11-23T06:28:40.000000Z", first_attempt_at="2026-11-23T06:28:40.000000Z", relay="none",
        reply="connect to mx[192.0.2.1]:25:\tConnection refused",
    )  # fmt: skip
    hop = Hop(message=message(), deliveries=[delivery(history=[attempt_entry(earlier)], last_attempt_at=after(60))])
    attempt = events_of(hop)[1]
    assert (attempt.what, attempt.at, attempt.dsn, attempt.relay) == ("deferred", after(5), "4.4.1", "none")
    assert attempt.text == "connect to mx[192.0.2.1]:25:\tConnection refused"
    assert attempt.recipient == "bob@example.net"


def test_an_entry_that_cannot_be_read_hides_nothing_else() -> None:
    hop = Hop(message=message(), deliveries=[delivery(history=["", "soon\t1", "2026-11-23T06:28:40.000000Z\tshort"])])
    assert [event.what for event in events_of(hop)] == ["arrived", "sent"]


def test_an_arrival_says_from_whom_and_how_much() -> None:
    known = message(
        client_name="mail.example.org", client_address="192.0.2.7", service="submission/smtpd", sasl_username="ann",
        size=541, recipient_count=7,
    )  # fmt: skip
    arrival = events_of(Hop(message=known, deliveries=[]))[0]
    expected = "from mail.example.org[192.0.2.7], by submission/smtpd, login ann, 541 bytes, 7 recipients"
    assert arrival.text == expected


def test_mail_made_on_this_host_says_from_what() -> None:
    local = events_of(Hop(message=message(uid=1000, service="pickup"), deliveries=[]))[0]
    assert local.text == "from user id 1000, by pickup"
    bounce = message(parent_queue_id="3F2A", parent_reason="sender non-delivery notification")
    assert events_of(Hop(message=bounce, deliveries=[]))[0].text == "from sender non-delivery notification of 3F2A"


def test_a_rejection_of_the_whole_message_says_why() -> None:
    known = message(rejected_at=after(1), reject_stage="END-OF-MESSAGE", reject_reply="550 5.7.1 spam")
    assert [(e.what, e.text) for e in events_of(Hop(message=known, deliveries=[]))][1] == ("rejected", "550 5.7.1 spam")


@pytest.mark.parametrize("status", ["held", "discarded", "cancelled"])
def test_what_became_of_a_message_is_told_where_no_column_has_its_moment(status: str) -> None:
    [arrival, fate] = events_of(Hop(message=message(), deliveries=[], status=status))
    assert (arrival.what, fate.what, fate.at) == ("arrived", status, AT)
    assert fate.text
    known = Hop(message=message(**{f"{status}_at": after(3)}), deliveries=[], status=status)
    assert [(event.what, event.at) for event in events_of(known)] == [("arrived", AT), (status, after(3))]


def test_a_message_that_waits_in_the_queue_has_only_arrived() -> None:
    assert [event.what for event in events_of(Hop(message=message(), deliveries=[], status="queued"))] == ["arrived"]


def test_mail_that_was_thrown_away_is_not_said_to_be_sent() -> None:
    thrown = delivery(service="discard", reply="silently", effective_status="discarded")
    assert [event.what for event in events_of(Hop(message=message(), deliveries=[thrown]))] == ["arrived", "discarded"]
