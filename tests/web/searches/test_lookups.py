"""What is looked up for a page of deliveries at once is what the view says row by row."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from web.searches import conditions, lookups
from web.searches.deliveries import search
from web.searches.delivery_query import FIELDS, SELECTED, DeliverySearch

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

pytestmark = pytest.mark.postgres

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
DAY = 86_400
FILTER = "filter.test[192.0.2.9]:10024"
SENT_TO_ITSELF = {"client_name": "localhost", "client_address": "127.0.0.1"}
FROM_CLIENT = {"client_name": "c.example.net", "client_address": "192.0.2.1", "service": "smtpd", "pid": 5}

LINKED = {
    "what the log says": ("N1", "P1"),
    "what the log says, of an earlier one": (None, "O1"),
    "to a filter": ("FROM-FILTER", None),
    "from a filter": (None, "TO-FILTER"),
    "to the next host": ("ON-STORE", None),
    "from the last host": (None, "TO-STORE"),
    "a claim that is not true": (None, None),
    "a claim of another time": (None, None),
    "a claim of itself": (None, None),
    "requeued": ("REQUEUED-AS", None),
    "of two that claim it": (None, "FIRST-CLAIM"),
}


@pytest.fixture
def linked_mail(mail: Any) -> dict[str, str]:
    """Put messages that hang together in every way that there is; return the queue ids of the cases of LINKED."""
    mail.message("LOGGED", message_id="0@x.test", parent_queue_id="P1", orig_queue_id="O1")
    mail.delivery("LOGGED", "a@x.test", next_queue_id="N1", queued_as="FROM-FILTER")
    mail.both("BEFORE", "a@x.test", orig_queue_id="O1")
    mail.message("TO-FILTER", 100, message_id="1@x.test")
    mail.delivery("TO-FILTER", "a@x.test", after=100, queued_as="FROM-FILTER", relay=FILTER)
    mail.both("FROM-FILTER", "a@x.test", after=101, message_id="1@x.test", **SENT_TO_ITSELF)
    mail.message("TO-STORE", -DAY, message_id="2@x.test")
    mail.delivery("TO-STORE", "a@x.test", after=-DAY, last_attempt_at=200, queued_as="ON-STORE", relay="store[::1]:25")
    mail.both("ON-STORE", "a@x.test", after=201, host="store", client_name="mx1.x.test", client_address="192.0.2.1")
    mail.message("CLAIMS", 100, message_id="3@x.test")
    mail.delivery("CLAIMS", "a@x.test", after=100, queued_as="BEFORE", relay=FILTER)
    mail.message("CLAIMS-LATE", 10 * DAY, message_id="1@x.test")
    mail.delivery("CLAIMS-LATE", "a@x.test", after=10 * DAY, queued_as="FROM-FILTER", relay=FILTER)
    mail.message("ITSELF", message_id="4@x.test", **SENT_TO_ITSELF)
    mail.delivery("ITSELF", "a@x.test", queued_as="ITSELF", relay=FILTER)
    mail.message("OLD-ID", -3 * DAY, requeued_at=-60)
    mail.delivery("OLD-ID", "a@x.test", "deferred", after=-3 * DAY)
    mail.message("OTHERS", host="mx2", orig_queue_id="OLD-ID")
    mail.message("LATER", 10, orig_queue_id="OLD-ID")
    mail.message("REQUEUED-AS", -59, orig_queue_id="OLD-ID")
    mail.both("CLAIMED-TWICE", "a@x.test", after=300, message_id="5@x.test", client_name="unknown")
    for queue_id, at in (("SECOND-CLAIM", 299), ("FIRST-CLAIM", 298)):
        mail.message(queue_id, -5, message_id="5@x.test")
        mail.delivery(queue_id, "a@x.test", after=-5, last_attempt_at=at, queued_as="CLAIMED-TWICE")
    cases = ["LOGGED", "BEFORE", "TO-FILTER", "FROM-FILTER", "TO-STORE", "ON-STORE", "CLAIMS", "CLAIMS-LATE", "ITSELF",
             "OLD-ID", "CLAIMED-TWICE"]  # fmt: skip
    return dict(zip(LINKED, cases, strict=True))


@pytest.fixture
def encrypted_mail(mail: Any) -> None:
    """Put messages over connections that were encrypted, and not, over midnight too."""
    for n, at in enumerate((0, 9, 300, 700, 43_202)):
        mail.message(f"IN{n}", at, **FROM_CLIENT)
        mail.delivery(f"IN{n}", "a@x.test", after=at, pid=9, relay="mx.x.test[192.0.2.7]:25", tls="own" if n else None)
        mail.delivery(f"IN{n}", "b@x.test", after=at, pid=9, relay="mx.x.test[192.0.2.7]:25")
        mail.delivery(f"IN{n}", "c@x.test", "rejected", after=at, pid=9, relay="", attempts=0)
        mail.delivery(f"IN{n}", "d@x.test", after=at, relay="mx.x.test[192.0.2.7]:25")
    for n, at in enumerate((-1, 5, 43_199)):
        mail.session(5, "from", "c.example.net[192.0.2.1]", f"IN-{n}", at)
        mail.session(9, "to", "mx.x.test[192.0.2.7]", f"OUT-{n}", at, service="smtp", peer_port=(25, None, 26)[n])
    mail.session(5, "from", "c.example.net[192.0.2.1]", "END", 8, ended=True)
    mail.session(9, "to", "mx.x.test[192.0.2.7]", "OTHER-SERVICE", -1, service="relay/smtp")


def by_page(reading: "Connection") -> list[Any]:
    return list(search(reading, DeliverySearch(limit=0, since=NOON - timedelta(days=30))))


def by_row(reading: "Connection") -> list[Any]:
    with reading.cursor() as cursor:
        cursor.execute(
            f"SELECT {', '.join(FIELDS)} FROM deliveries "
            "ORDER BY arrived_at DESC, queue_id DESC, host DESC, recipient, orig_recipient"
        )
        return [dict(zip(FIELDS, row, strict=True)) for row in cursor.fetchall()]


@pytest.mark.parametrize("at_once", [1, 4, 2000])
def test_where_messages_came_from_and_went_to(
    reading: "Connection", linked_mail: dict[str, str], monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(conditions, "FETCHED_AT_ONCE", at_once)
    records = by_page(reading)
    links = {record["queue_id"]: (record["next_queue_id"], record["parent_queue_id"]) for record in records}
    assert {case: links[queue_id] for case, queue_id in linked_mail.items()} == LINKED
    assert records == by_row(reading)


@pytest.mark.usefixtures("encrypted_mail")
def test_the_encryption_of_their_connections(reading: "Connection") -> None:
    records = by_page(reading)
    assert records == by_row(reading)
    outward = {record["tls"] for record in records}
    assert outward == {None, "own", "untrusted TLSv1.3 OUT-0", "untrusted TLSv1.3 OUT-1"}
    inward = {record["queue_id"]: record["client_tls"] for record in records}
    assert inward == {
        "IN0": "untrusted TLSv1.3 IN-0", "IN1": None, "IN2": None, "IN3": None, "IN4": "untrusted TLSv1.3 IN-2",
    }  # fmt: skip


def test_nothing_is_asked_for_rows_of_which_all_is_known() -> None:
    known = {"logged_next_queue_id": "N1", "logged_parent_queue_id": "P1", "logged_tls": "own"}
    row = dict.fromkeys(SELECTED) | known
    [found] = lookups.looked_up(None, [row])  # type: ignore[arg-type]
    assert found == {"next_queue_id": "N1", "parent_queue_id": "P1", "tls": "own", "client_tls": None}
