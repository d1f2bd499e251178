from typing import TYPE_CHECKING, Any

import pytest

from web.searches.deliveries import DeliverySearch, search
from web.searches.trace import MOST_DELIVERIES, MOST_FOUND, MOST_HOPS, trace

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

pytestmark = pytest.mark.postgres

DAY = 86_400


def ids(reading: "Connection", word: str) -> list[str]:
    return [hop.message["queue_id"] for hop in trace(reading, word).hops]


def links(reading: "Connection", word: str) -> dict[str, str]:
    return {hop.message["queue_id"]: f"{hop.link} {hop.linked_from}".strip() for hop in trace(reading, word).hops}


@pytest.mark.parametrize(
    "word",
    ["A1", " A1 ", "1@example.org", "<1@example.org>", "ann@example.org", "Bob@Example.NET", "fritz@example.org"],
)
def test_a_message_is_found_by_queue_id_message_id_and_address(reading: "Connection", mail: Any, word: str) -> None:
    sender = "Fritz@EXAMPLE.org" if "fritz" in word else "ann@example.org"
    mail.both("A1", "bob@example.net", sender=sender, message_id="1@example.org")
    mail.both("B2", "eve@example.net", sender="eve@example.org", message_id="2@example.org")
    [hop] = trace(reading, word).hops
    assert hop.message["queue_id"] == "A1"
    assert [delivery["recipient"] for delivery in hop.deliveries] == ["bob@example.net"]


def test_nothing_is_found_for_a_word_that_nobody_wrote(reading: "Connection", mail: Any) -> None:
    mail.both("A1", "bob@example.net", sender="")
    for word in ("ZZ", "", "<>", "nobody@example.org", "%", "' OR 1=1 --"):
        assert trace(reading, word).hops == []


def test_an_address_stands_for_its_newest_messages(reading: "Connection", mail: Any) -> None:
    for i in range(MOST_FOUND + 3):
        mail.both(f"Q{i}", "bob@example.net", after=i * 3600)
    assert ids(reading, "bob@example.net") == [f"Q{i}" for i in range(3, MOST_FOUND + 3)]


@pytest.mark.parametrize("messages", [MOST_FOUND, MOST_FOUND + 1])
def test_it_is_said_where_a_word_stands_for_more_messages(reading: "Connection", mail: Any, messages: int) -> None:
    for i in range(messages):
        mail.both(f"Q{i}", "bob@example.net", after=i * 3600)
    assert trace(reading, "bob@example.net").more_messages is (messages > MOST_FOUND)


@pytest.mark.parametrize("hops", [MOST_HOPS, MOST_HOPS + 1])
def test_it_is_said_where_more_messages_hang_together(reading: "Connection", mail: Any, hops: int) -> None:
    mail.message("Q0")
    for i in range(1, hops):
        mail.message(f"Q{i}", after=i, parent_queue_id=f"Q{i - 1}")
    way = trace(reading, "Q0")
    assert (len(way.hops), way.more_hops) == (MOST_HOPS, hops > MOST_HOPS)


@pytest.mark.parametrize("word", ["root", "alias@example.net", "Alias@Example.NET", "postmaster"])
def test_a_recipient_is_found_by_what_it_was_before_aliases_and_by_a_name_alone(
    reading: "Connection", mail: Any, word: str
) -> None:
    mail.message("A1")
    mail.delivery("A1", "bob@example.net", orig_recipient="alias@example.net")
    mail.delivery("A1", "eve@example.net", orig_recipient="root")
    mail.delivery("A1", "postmaster")
    mail.both("B2", "zoe@example.net")
    assert ids(reading, word) == ["A1"]


@pytest.mark.parametrize("word", ["zoe@example.net", "ZOE@example.net", "alias@example.net", "A1"])
def test_of_very_many_recipients_those_that_matter_are_shown(reading: "Connection", mail: Any, word: str) -> None:
    mail.message("A1")
    for number in range(MOST_DELIVERIES + 10):
        mail.delivery("A1", f"u{number:03}@example.net")
    mail.delivery("A1", "zOe@example.net", "sent" if "@" in word else "bounced", orig_recipient="alias@example.net")
    [hop] = trace(reading, word).hops
    shown = [delivery["recipient"] for delivery in hop.deliveries]
    assert (len(shown), hop.more) == (MOST_DELIVERIES, 11)
    assert shown == [f"u{number:03}@example.net" for number in range(MOST_DELIVERIES - 1)] + ["zOe@example.net"]


def test_a_name_alone_that_is_a_queue_id_too_is_the_queue_id(reading: "Connection", mail: Any) -> None:
    mail.both("ABBA", "bob@example.net")
    mail.both("B2", "ABBA")
    assert ids(reading, "ABBA") == ["ABBA"]


def test_a_hop_has_the_statuses_that_deliveries_have(reading: "Connection", mail: Any) -> None:
    mail.message("A1", expired_at=60)
    mail.delivery("A1", "bob@example.net")
    mail.delivery("A1", "eve@example.net", "deferred")
    mail.delivery("A1", "zoe@example.net", service="quiet/discard")
    mail.message("B2", queued_at=None, client_name="c", client_address="192.0.2.9", pid=7, service="smtpd")
    mail.message("C3", queued_at=None, client_name="d", client_address="192.0.2.8", pid=7, service="smtpd")
    mail.rejection("bob@example.net", action="hold", client_address="192.0.2.8")
    mail.delivery("D4", "bob@example.net", service="discard")
    for queue_id, expected in {"A1": ["sent", "expired", "discarded"], "B2": ["cancelled"], "C3": ["held"]}.items():
        [hop] = trace(reading, queue_id).hops
        shown = [record["status"] for record in search(reading, DeliverySearch(queue_id=queue_id))]
        assert ([d["effective_status"] for d in hop.deliveries] or [hop.status]) == shown == expected
    [unseen] = trace(reading, "bob@example.net").hops[-1:]
    assert (unseen.message["queue_id"], unseen.deliveries[0]["effective_status"]) == ("D4", "discarded")


def test_a_bounce_leads_to_its_origin_and_back(reading: "Connection", mail: Any) -> None:
    mail.both("A1", "bob@example.net", "bounced", sender="ann@example.org")
    mail.both(
        "B2", "ann@example.org", after=5, sender="", parent_queue_id="A1", parent_reason="non-delivery notification"
    )
    assert links(reading, "A1") == {"A1": "", "B2": "made from A1"}
    assert links(reading, "B2") == {"A1": "origin of B2", "B2": ""}


def test_a_reused_queue_id_is_not_taken_for_the_origin(reading: "Connection", mail: Any) -> None:
    mail.both("A1", "x@example.net", after=-DAY)
    mail.both("A1", "bob@example.net", "bounced", after=0)
    mail.both("B2", "ann@example.org", after=5, parent_queue_id="A1")
    mail.both("A1", "y@example.net", after=60)
    hops = trace(reading, "B2").hops
    assert [delivery["recipient"] for delivery in hops[0].deliveries] == ["bob@example.net"]
    assert len(hops) == 2


def test_a_forward_and_what_was_made_of_it_are_followed(reading: "Connection", mail: Any) -> None:
    mail.message("A1", 0)
    mail.delivery("A1", "alias@example.net", after=0, last_attempt_at=3, next_queue_id="B2", service="local")
    mail.both("B2", "bob@example.com", "bounced", after=3)
    mail.both("C3", "ann@example.org", after=9, sender="", parent_queue_id="B2")
    assert ids(reading, "A1") == ["A1", "B2", "C3"]
    assert links(reading, "A1")["B2"] == "forwarded from A1"


def test_hops_of_a_content_filter_and_of_the_next_host_hang_together(reading: "Connection", mail: Any) -> None:
    mail.message("A1", 0, message_id="1@example.org")
    mail.delivery("A1", "bob@example.net", after=0, last_attempt_at=4, queued_as="B2")
    mail.message("B2", 3, message_id="1@example.org")
    mail.delivery("B2", "bob@example.net", after=3, last_attempt_at=6, queued_as="C3")
    mail.both("C3", "bob@example.net", after=5, host="mx2", message_id="1@example.org")
    assert ids(reading, "A1") == ["A1", "B2", "C3"]
    assert links(reading, "C3") == {"A1": "before B2", "B2": "before C3", "C3": ""}


@pytest.mark.parametrize(
    "other",
    [
        {"after": 2 * 3600, "message_id": "1@example.org"},
        {"after": -2 * 3600, "message_id": "1@example.org"},
        {"after": 4, "message_id": "other@example.org"},
    ],
)
def test_a_remotes_queue_id_that_looks_like_ours_links_nothing(
    reading: "Connection", mail: Any, other: dict[str, Any]
) -> None:
    mail.message("A1", 0, message_id="1@example.org")
    mail.delivery("A1", "bob@example.net", after=0, last_attempt_at=4, queued_as="B2")
    mail.both("B2", "eve@example.net", **other)
    assert ids(reading, "A1") == ["A1"]


def test_a_requeued_message_is_followed_both_ways(reading: "Connection", mail: Any) -> None:
    mail.message("A1", 0, requeued_at=60)
    mail.both("B2", "bob@example.net", after=61, orig_queue_id="A1")
    assert links(reading, "A1") == {"A1": "", "B2": "requeued from A1"}
    assert links(reading, "B2") == {"A1": "before B2", "B2": ""}


def test_a_circle_ends(reading: "Connection", mail: Any) -> None:
    mail.both("A1", "bob@example.net", after=0, parent_queue_id="A1", orig_queue_id="A1")
    mail.message("B2", 0, parent_queue_id="A1")
    mail.delivery("B2", "bob@example.net", after=0, next_queue_id="A1", queued_as="B2")
    assert sorted(ids(reading, "A1")) == ["A1", "B2"]


def test_a_message_with_very_many_recipients_shows_some_and_counts_the_rest(reading: "Connection", mail: Any) -> None:
    mail.message("A1")
    for i in range(MOST_DELIVERIES + 7):
        mail.delivery("A1", f"{i:03}@example.net")
    [hop] = trace(reading, "A1").hops
    assert len(hop.deliveries) == MOST_DELIVERIES
    assert hop.more == 7


def test_deliveries_without_their_message_are_shown_as_far_as_they_are_known(reading: "Connection", mail: Any) -> None:
    mail.delivery("A1", "bob@example.net")
    [hop] = trace(reading, "bob@example.net").hops
    assert (hop.message["queue_id"], hop.message["sender"]) == ("A1", None)


def test_a_hop_says_the_encryption_that_it_came_and_went_by(reading: "Connection", mail: Any) -> None:
    mail.message("A1", service="smtpd", pid=5, client_address="192.0.2.9")
    mail.delivery("A1", "bob@example.net", after=0, pid=6)
    mail.delivery("A1", "eve@example.net", after=0, pid=7)
    mail.delivery("A1", "zoe@example.net", after=0, pid=7, tls="secure")
    mail.session(5, "from", "c[192.0.2.9]", "IN", after=-1)
    mail.session(6, "to", "mx[192.0.2.1]", "OUT", after=-1, service="smtp", peer_port=25)
    [hop] = trace(reading, "A1").hops
    assert hop.message["client_tls"] == "untrusted TLSv1.3 IN"
    assert [delivery["tls"] for delivery in hop.deliveries] == ["untrusted TLSv1.3 OUT", None, "secure"]
