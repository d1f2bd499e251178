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
    one = {"message_id": "one@s.test", "client_name": "localhost", "client_address": "127.0.0.1"}
    first = (
        rows.message(BEFORE, queue_id=OLDER_ID, **one),
        rows.delivery(BEFORE, queue_id=OLDER_ID, queued_as="9D5CB98A3E3"),
    )
    links = "SELECT queue_id, next_queue_id, parent_queue_id FROM deliveries ORDER BY queue_id"
    writer.write(rows.batch(*first), {})
    assert query(links) == [(OLDER_ID, None, None)]
    writer.write(rows.batch(rows.message("2026-11-22T05:00:00.000000Z", **one)), {})
    assert query(links)[0] == (OLDER_ID, None, None)
    writer.write(rows.batch(rows.message(AT, **one), rows.delivery(AT)), {})
    assert query(links)[0] == (OLDER_ID, "9D5CB98A3E3", None)
    assert query(f"{links} DESC, arrived_at DESC")[0] == ("9D5CB98A3E3", None, OLDER_ID)


@pytest.mark.parametrize(
    ("hop", "linked"),
    [
        ({}, False),
        ({"message_id": "one@s.test", "client_name": "other.test"}, True),
        ({"message_id": "two@s.test", "client_address": "127.0.0.1"}, False),
        ({"message_id": "two@s.test", "orig_queue_id": OLDER_ID}, True),
        ({"client_name": "localhost", "client_address": "127.0.0.1"}, True),
        ({"client_name": "filter.test", "client_address": "192.0.2.9"}, True),
        ({"client_name": "other.test", "client_address": "192.0.2.77"}, False),
        ({"host": "store", "client_name": "mx1.our.test", "client_address": "192.0.2.1"}, True),
        ({"host": "store", "client_name": "other.test", "client_address": "192.0.2.1"}, False),
        ({"host": "filter.our.test", "client_name": "unknown", "client_address": "192.0.2.1"}, True),
    ],
)
def test_a_claimed_queue_id_counts_only_if_its_message_came_from_there(
    writer: Writer, query: Any, rows: Any, hop: dict[str, Any], *, linked: bool
) -> None:
    claim = rows.delivery(BEFORE, queue_id=OLDER_ID, queued_as="9D5CB98A3E3", relay="filter.test[192.0.2.9]:10024")
    writer.write(rows.batch(rows.message(BEFORE, queue_id=OLDER_ID, message_id="one@s.test"), claim), {})
    writer.write(rows.batch(rows.message(AT, **hop)), {})

    found = query("SELECT next_queue_id FROM deliveries WHERE queue_id = %s", OLDER_ID)
    assert found == [("9D5CB98A3E3" if linked else None,)]
    if "orig_queue_id" not in hop:
        parent = query("SELECT parent_queue_id FROM deliveries WHERE queue_id = '9D5CB98A3E3'")
        assert parent == [(OLDER_ID if linked else None,)]


def test_a_message_that_claims_itself_is_not_its_own_next(writer: Writer, query: Any, rows: Any) -> None:
    writer.write(rows.batch(rows.message(), rows.delivery(queued_as="9D5CB98A3E3")), {})
    assert query("SELECT next_queue_id, parent_queue_id FROM deliveries") == [(None, None)]


def test_what_the_log_says_of_forwarding_and_parents_comes_first(writer: Writer, query: Any, rows: Any) -> None:
    writer.write(
        rows.batch(rows.message(parent_queue_id="P1", orig_queue_id="O1"), rows.delivery(next_queue_id="N1")), {}
    )
    assert query("SELECT next_queue_id, parent_queue_id FROM deliveries") == [("N1", "P1")]


TLS = "untrusted TLSv1.3 X"
RELAY = {"service": "smtp", "pid": 9, "relay": "mx.example.org[192.0.2.7]:25"}
TO_RELAY = {
    "service": "smtp", "pid": 9, "direction": "to", "trust": "untrusted", "cipher": "X", "peer_name": "mx.example.org",
    "peer_address": "192.0.2.7", "peer_port": 25,
}  # fmt: skip
FROM_CLIENT = {
    "service": "smtpd", "pid": 5, "direction": "from", "trust": "untrusted", "cipher": "X",
    "peer_name": "c.example.net", "peer_address": "192.0.2.1",
}  # fmt: skip
AT_ONCE, TEN_MINUTES_BEFORE = "2026-11-22T06:00:00.000000Z", "2026-11-22T05:50:00.000000Z"
TOO_EARLY, TOO_LATE = "2026-11-22T05:49:59.999999Z", "2026-11-22T06:00:00.000001Z"


@pytest.mark.parametrize(
    ("at", "session", "delivery", "tls"),
    [
        (AT_ONCE, {}, {}, TLS),
        (TEN_MINUTES_BEFORE, {}, {}, TLS),
        (TOO_EARLY, {}, {}, None),
        (TOO_LATE, {}, {}, None),
        (AT_ONCE, {"trust": ""}, {}, "TLSv1.3 X"),
        (AT_ONCE, {"peer_port": None}, {}, TLS),
        (AT_ONCE, {"peer_port": None, "peer_address": None}, {}, TLS),
        (AT_ONCE, {"peer_port": 26}, {}, None),
        (AT_ONCE, {"peer_port": 2}, {}, None),
        (AT_ONCE, {"peer_address": "192.0.2.70"}, {}, None),
        (AT_ONCE, {"peer_name": "mx.example.or"}, {}, None),
        (AT_ONCE, {"direction": "from"}, {}, None),
        (AT_ONCE, {"service": "relay/smtp"}, {}, None),
        (AT_ONCE, {"host": "mx2"}, {}, None),
        (AT_ONCE, {"pid": 10}, {}, None),
        (AT_ONCE, {}, {"pid": None}, None),
        (AT_ONCE, {}, {"relay": "none"}, None),
        (AT_ONCE, {"peer_name": "none", "peer_address": None, "peer_port": None}, {"relay": "none"}, None),
        (AT_ONCE, {}, {"tls": "secure"}, "secure"),
        (TOO_EARLY, {}, {"tls": "secure"}, "secure"),
    ],
    ids=str,
)
def test_a_delivery_has_the_encryption_of_its_agents_connection_to_its_relay(  # noqa: PLR0917 - a case's columns
    writer: Writer, query: Any, rows: Any, at: str, session: dict[str, Any], delivery: dict[str, Any], tls: str | None
) -> None:
    records = rows.message(**QUEUED), rows.delivery(**(RELAY | delivery)), rows.session(at, **(TO_RELAY | session))
    writer.write(rows.batch(*records), {})
    assert query("SELECT tls, client_tls FROM deliveries") == [(tls, None)]


@pytest.mark.parametrize(
    ("at", "session", "message", "tls"),
    [
        (AT_ONCE, {}, {}, TLS),
        (TEN_MINUTES_BEFORE, {}, {}, TLS),
        (TOO_EARLY, {}, {}, None),
        (TOO_LATE, {}, {}, None),
        (AT_ONCE, {"peer_name": "unknown"}, {}, TLS),
        (AT_ONCE, {"peer_address": "192.0.2.2"}, {}, None),
        (AT_ONCE, {"peer_address": None}, {"client_address": None}, None),
        (AT_ONCE, {"direction": "to"}, {}, None),
        (AT_ONCE, {"service": "submission/smtpd"}, {}, None),
        (AT_ONCE, {"pid": 6}, {}, None),
        (AT_ONCE, {"pid": 0}, {"pid": 0}, None),
    ],
    ids=str,
)
def test_a_message_has_the_encryption_of_its_clients_connection(  # noqa: PLR0917 - a case's columns
    writer: Writer, query: Any, rows: Any, at: str, session: dict[str, Any], message: dict[str, Any], tls: str | None
) -> None:
    writer.write(rows.batch(rows.message(**(QUEUED | message)), rows.session(at, **(FROM_CLIENT | session))), {})
    assert query("SELECT client_tls, tls FROM deliveries") == [(tls, None)]


def test_the_latest_of_several_sessions_counts(writer: Writer, query: Any, rows: Any) -> None:
    sessions = [rows.session(f"2026-11-22T05:5{n}:00.000000Z", **(FROM_CLIENT | {"cipher": str(n)})) for n in (1, 9, 5)]
    writer.write(rows.batch(rows.message(**QUEUED), *sessions), {})
    assert query("SELECT client_tls FROM deliveries") == [("untrusted TLSv1.3 9",)]


@pytest.mark.parametrize(
    ("arrived", "ended", "tls"),
    [
        ("06:00:05.000000", "06:00:04.000000", None),
        ("06:00:05.000000", "06:00:00.000000", None),
        ("06:00:05.000000", "06:00:05.000000", TLS),
        ("06:00:05.700000", "06:00:05.000000", TLS),
        ("06:00:05.000000", "06:00:06.000000", TLS),
        ("06:00:00.000000", "06:00:00.000000", TLS),
    ],
)
def test_what_comes_after_the_end_of_the_connection_did_not_come_by_it(  # noqa: PLR0917 - a case's columns
    writer: Writer, query: Any, rows: Any, arrived: str, ended: str, tls: str | None
) -> None:
    end = FROM_CLIENT | {"digest": "f", "ended": True, "trust": "", "protocol": "", "cipher": ""}
    sessions = rows.session(AT_ONCE, **FROM_CLIENT), rows.session(f"2026-11-22T{ended}Z", **end)
    writer.write(rows.batch(rows.message(f"2026-11-22T{arrived}Z", **CLIENT), *sessions), {})
    assert query("SELECT client_tls FROM deliveries") == [(tls,)]


def test_a_session_before_midnight_is_found_after_it(writer: Writer, query: Any, rows: Any) -> None:
    midnight = "2026-11-22T00:00:01.000000Z"
    session = rows.session("2026-11-21T23:59:59.000000Z", **FROM_CLIENT)
    writer.write(rows.batch(rows.message(midnight, **CLIENT), session), {})
    assert query("SELECT client_tls FROM deliveries") == [(TLS,)]


def test_a_search_locks_no_partition_of_sessions_but_those_of_its_rows_days(
    writer: Writer, query: Any, rows: Any
) -> None:
    days = [f"2026-11-{day:02d}T06:00:00.000000Z" for day in range(1, 21)]
    writer.write(rows.batch(*(rows.session(day, **FROM_CLIENT) for day in days)), {})
    writer.write(rows.batch(rows.message(days[4], **CLIENT)), {})
    [[*found]] = query(
        "WITH searched AS MATERIALIZED (SELECT client_tls FROM deliveries) "
        "SELECT client_tls, (SELECT array_agg(relation::regclass::text) FROM pg_locks WHERE pid = pg_backend_pid() "
        "AND relation::regclass::text LIKE 'tls_sessions_2%%') FROM searched"
    )
    assert found[0] == TLS
    assert {name for name in found[1] if not name.endswith("pkey")} == {"tls_sessions_20261105"}
