from typing import TYPE_CHECKING, Any

import pytest

from web.searches.trace import MOST_DELIVERIES, MOST_FOUND, trace

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

pytestmark = pytest.mark.postgres

DAY = 86_400


def ids(reading: "Connection", word: str) -> list[str]:
    return [hop.message["queue_id"] for hop in trace(reading, word)]


def links(reading: "Connection", word: str) -> dict[str, str]:
    return {hop.message["queue_id"]: f"{hop.link} {hop.linked_from}".strip() for hop in trace(reading, word)}


@pytest.mark.parametrize(
    "word", ["A1", " A1 ", "1@example.org", "<1@example.org>", "ann@example.org", "Bob@Example.NET"]
)
def test_a_message_is_found_by_queue_id_message_id_and_address(reading: "Connection", mail: Any, word: str) -> None:
    mail.both("A1", "bob@example.net", sender="ann@example.org", message_id="1@example.org")
    mail.both("B2", "eve@example.net", sender="eve@example.org", message_id="2@example.org")
    [hop] = trace(reading, word)
    assert hop.message["queue_id"] == "A1"
    assert [delivery["recipient"] for delivery in hop.deliveries] == ["bob@example.net"]


def test_nothing_is_found_for_a_word_that_nobody_wrote(reading: "Connection", mail: Any) -> None:
    mail.both("A1", "bob@example.net", sender="")
    for word in ("ZZ", "", "<>", "nobody@example.org", "%", "' OR 1=1 --"):
        assert trace(reading, word) == []


def test_an_address_stands_for_its_newest_messages(reading: "Connection", mail: Any) -> None:
    for i in range(MOST_FOUND + 3):
        mail.both(f"Q{i}", "bob@example.net", after=i * 3600)
    assert ids(reading, "bob@example.net") == [f"Q{i}" for i in range(3, MOST_FOUND + 3)]


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
    hops = trace(reading, "B2")
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
    [hop] = trace(reading, "A1")
    assert len(hop.deliveries) == MOST_DELIVERIES
    assert hop.more == 7


def test_deliveries_without_their_message_are_shown_as_far_as_they_are_known(reading: "Connection", mail: Any) -> None:
    mail.delivery("A1", "bob@example.net")
    [hop] = trace(reading, "bob@example.net")
    assert (hop.message["queue_id"], hop.message["sender"]) == ("A1", None)


def test_a_hop_says_the_encryption_that_it_came_and_went_by(reading: "Connection", mail: Any) -> None:
    mail.message("A1", service="smtpd", pid=5, client_address="192.0.2.9")
    mail.delivery("A1", "bob@example.net", after=0, pid=6)
    mail.delivery("A1", "eve@example.net", after=0, pid=7)
    mail.delivery("A1", "zoe@example.net", after=0, pid=7, tls="secure")
    mail.session(5, "from", "c[192.0.2.9]", "IN", after=-1)
    mail.session(6, "to", "mx[192.0.2.1]", "OUT", after=-1, service="smtp", peer_port=25)
    [hop] = trace(reading, "A1")
    assert hop.message["client_tls"] == "untrusted TLSv1.3 IN"
    assert [delivery["tls"] for delivery in hop.deliveries] == ["untrusted TLSv1.3 OUT", None, "secure"]
