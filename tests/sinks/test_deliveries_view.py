"""The view that people read: a row for each message and recipient, with the status that a person would tell."""

from typing import Any

import pytest

from sinks.writing import Writer
from web.searches.deliveries import FIELDS

pytestmark = pytest.mark.postgres

BEFORE, AT, AFTER = (f"2026-11-22T06:0{n}:00.000000Z" for n in (1, 2, 3))
CLIENT = {"client_name": "c.example.net", "client_address": "192.0.2.1", "service": "smtpd", "pid": 5}
QUEUED = CLIENT | {"message_id": "m", "size": 1, "queued_at": BEFORE}
OLDER_ID = "9D5CB98A3E2"


def statuses(query: Any) -> list[Any]:
    return [status for (status,) in query("SELECT status FROM deliveries ORDER BY arrived_at, recipient")]


@pytest.mark.parametrize(
    ("case", "status"),
    [
        (({"status": "sent", "service": "smtp"}, {}), "sent"),
        (({"status": "sent", "service": "discard"}, {}), "discarded"),
        (({"status": "sent", "service": "relay/discard"}, {}), "discarded"),
        (({"status": "sent"}, {"deleted_at": AT}), "sent"),
        (({"status": "bounced"}, {"expired_at": AT}), "bounced"),
        (({"status": "rejected"}, {"queued_at": BEFORE}), "rejected"),
        (({"status": "deliverable"}, {}), "deliverable"),
        (({"status": "undeliverable"}, {"removed_at": AT}), "undeliverable"),
        (({"status": "deferred"}, {}), "deferred"),
        (({"status": "SOFTBOUNCE"}, {}), "deferred"),
        (({"status": "unheard-of"}, {}), "deferred"),
        (({"status": "deferred"}, {"deleted_at": AT, "expired_at": BEFORE}), "deleted"),
        (({"status": "deferred"}, {"expired_at": AT, "removed_at": AT}), "expired"),
        (({"status": "deferred"}, {"held_at": AT}), "held"),
        (({"status": "deferred"}, {"held_at": AT, "released_at": BEFORE}), "held"),
        (({"status": "deferred"}, {"held_at": BEFORE, "released_at": AT}), "deferred"),
        (({"status": "deferred"}, {"held_at": BEFORE, "removed_at": AT}), "deferred"),
    ],
    ids=str,
)
def test_the_status_of_a_recipient(writer: Writer, query: Any, rows: Any, case: Any, status: str) -> None:
    logged, message = case
    writer.write(rows.batch(rows.message(**(QUEUED | message)), rows.delivery(**logged)), {})
    assert statuses(query) == [status]


@pytest.mark.parametrize(
    ("message", "status"),
    [
        (QUEUED, "queued"),
        (CLIENT, "cancelled"),
        (CLIENT | {"cancelled_at": AT}, "cancelled"),
        (QUEUED | {"rejected_at": AT}, "rejected"),
        (QUEUED | {"discarded_at": AT}, "discarded"),
        (QUEUED | {"deleted_at": AT}, "deleted"),
        (QUEUED | {"expired_at": AT}, "expired"),
        (QUEUED | {"held_at": AT}, "held"),
        (QUEUED | {"held_at": BEFORE, "released_at": AT}, "queued"),
        ({"origin": 0, "queued_at": AT}, "queued"),
        ({"origin": 1, "message_id": "m"}, "queued"),
        ({"service": "pickup", "uid": 0}, "queued"),
    ],
    ids=str,
)
def test_a_message_without_recipients_has_a_row(
    writer: Writer, query: Any, rows: Any, message: dict[str, Any], status: str
) -> None:
    writer.write(rows.batch(rows.message(**message)), {})
    assert query("SELECT status, recipient, attempts FROM deliveries") == [(status, None, 0)]


def test_its_columns_are_the_interface(query: Any) -> None:
    query("SELECT 1")
    columns = query("SELECT attname FROM pg_attribute WHERE attrelid = 'deliveries'::regclass ORDER BY attnum")
    assert [name for (name,) in columns][: len(FIELDS)] == list(FIELDS)


def test_a_claimed_queue_id_counts_only_if_it_is_a_message_of_ours_of_that_time(
    writer: Writer, query: Any, rows: Any
) -> None:
    first = rows.message(BEFORE, queue_id=OLDER_ID), rows.delivery(BEFORE, queue_id=OLDER_ID, queued_as="9D5CB98A3E3")
    links = "SELECT queue_id, next_queue_id, parent_queue_id FROM deliveries ORDER BY queue_id"
    writer.write(rows.batch(*first), {})
    assert query(links) == [(OLDER_ID, None, None)]
    writer.write(rows.batch(rows.message("2026-11-22T05:00:00.000000Z")), {})
    assert query(links)[0] == (OLDER_ID, None, None)
    writer.write(rows.batch(rows.message(AT), rows.delivery(AT)), {})
    assert query(links)[0] == (OLDER_ID, "9D5CB98A3E3", None)
    assert query(f"{links} DESC, arrived_at DESC")[0] == ("9D5CB98A3E3", None, OLDER_ID)


def test_a_message_that_claims_itself_is_not_its_own_next(writer: Writer, query: Any, rows: Any) -> None:
    writer.write(rows.batch(rows.message(), rows.delivery(queued_as="9D5CB98A3E3")), {})
    assert query("SELECT next_queue_id, parent_queue_id FROM deliveries") == [(None, None)]


def test_what_the_log_says_of_forwarding_and_parents_comes_first(writer: Writer, query: Any, rows: Any) -> None:
    writer.write(
        rows.batch(rows.message(parent_queue_id="P1", orig_queue_id="O1"), rows.delivery(next_queue_id="N1")), {}
    )
    assert query("SELECT next_queue_id, parent_queue_id FROM deliveries") == [("N1", "P1")]
