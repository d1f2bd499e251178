from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg2.errors
import pytest

from schemas.errors import ConfigurationError
from schemas.settings import DatabaseSettings
from web.searches import conditions
from web.searches.database import searching
from web.searches.deliveries import search
from web.searches.delivery_keys import Expected, keys
from web.searches.delivery_query import FIELDS, DeliverySearch, rows_of

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

pytestmark = pytest.mark.postgres

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
DAY = 86_400


def found(reading: "Connection", **wanted: Any) -> list[str]:
    """Return the queue ids, joined with the recipients."""
    records = search(reading, DeliverySearch(**wanted))
    return [f"{record['queue_id']}>{record['recipient']}" for record in records]


@pytest.fixture
def some_mail(mail: Any) -> None:
    mail.both("A1", "bob@example.net", after=-3 * DAY, sender="ann@example.org", message_id="1@example.org")
    mail.message("B2", -60, sender="", client_name="mail.example.com", client_address="192.0.2.7")
    mail.delivery("B2", "bob@example.net", "bounced", -60)
    mail.delivery("B2", "Eve@Example.NET", "deferred", -60, orig_recipient="sales@example.net")
    mail.both("C3", "bob@example.net", after=-30, sender="Ann@Example.org", message_id="2@example.org")
    mail.message("D4", sender="a_b@sub.example.org", held_at=0)


@pytest.mark.usefixtures("some_mail")
def test_newest_first_within_the_last_day_that_the_log_has(reading: "Connection") -> None:
    assert found(reading) == ["D4>None", "C3>bob@example.net", "B2>Eve@Example.NET", "B2>bob@example.net"]


def test_the_day_ends_with_the_newest_mail_not_with_the_clock(reading: "Connection", mail: Any) -> None:
    mail.both("OLD", "x@example.net", after=-400 * DAY)
    mail.both("NEW", "x@example.net", after=-380 * DAY)
    assert found(reading) == ["NEW>x@example.net"]


def test_a_host_with_a_wrong_clock_does_not_hide_the_others(reading: "Connection", mail: Any) -> None:
    mail.both("NOW", "x@example.net", after=-400 * DAY)
    mail.both("FUTURE", "x@example.net", after=4000 * DAY)
    assert found(reading) == ["FUTURE>x@example.net", "NOW>x@example.net"]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"recipient": "bob@example.net"}, ["C3", "B2"]),
        ({"recipient": "bob@EXAMPLE.net"}, ["C3", "B2"]),
        ({"recipient": "Eve@Example.NET"}, ["B2"]),
        ({"recipient": "eve@example.net"}, ["B2"]),
        ({"recipient": "eve@example.net", "sender": "<>", "status": ("deferred",)}, ["B2"]),
        ({"recipient": "sales@example.net"}, ["B2"]),
        ({"recipient": "@example.net"}, ["C3", "B2", "B2"]),
        ({"recipient": "*eve*"}, ["B2"]),
        ({"recipient": "nobody@example.net"}, []),
        ({"sender": "<>"}, ["B2", "B2"]),
        ({"sender": "ann@example.org"}, ["C3"]),
        ({"sender": "ann@example.org", "since": NOON - timedelta(days=9)}, ["C3", "A1"]),
        ({"sender": "<ANN@example.ORG>"}, ["C3"]),
        ({"sender": "@example.org"}, ["C3"]),
        ({"sender": "*@*.example.org"}, ["D4"]),
        ({"sender": "a%b@sub.example.org"}, []),
        ({"sender": "a*b@sub.example.org"}, ["D4"]),
        ({"sender": "a?b@*"}, []),
        ({"sender": "*"}, ["D4", "C3", "B2", "B2"]),
        ({"sender": "*", "client": "*"}, ["B2", "B2"]),
        ({"queue_id": "A1"}, ["A1"]),
        ({"queue_id": " B2 "}, ["B2", "B2"]),
        ({"message_id": "1@example.org"}, ["A1"]),
        ({"message_id": "<1@example.org>"}, ["A1"]),
        ({"client": "192.0.2.7"}, ["B2", "B2"]),
        ({"client": "Mail.Example.com"}, ["B2", "B2"]),
        ({"client": "*.example.com"}, ["B2", "B2"]),
        ({"status": ("bounced",)}, ["B2"]),
        ({"status": ("Bounced", "deferred")}, ["B2", "B2"]),
        ({"status": ("deferred",)}, ["B2"]),
        ({"status": ("bounced",), "sender": "<>"}, ["B2"]),
        ({"status": ("held",)}, ["D4"]),
        ({"status": ("held", "sent")}, ["D4", "C3"]),
        ({"status": ("lost",)}, []),
        ({"limit": 2}, ["D4", "C3"]),
        ({"limit": 0, "since": NOON - timedelta(days=9)}, ["D4", "C3", "B2", "B2", "A1"]),
        ({"since": NOON - timedelta(seconds=60)}, ["D4", "C3", "B2", "B2"]),
        ({"since": NOON - timedelta(seconds=59)}, ["D4", "C3"]),
        ({"until": NOON}, ["C3", "B2", "B2"]),
        ({"until": NOON - timedelta(days=2)}, ["A1"]),
        ({"recipient": "bob@example.net", "sender": "<>"}, ["B2"]),
        ({"recipient": "bob@example.net", "sender": "@example.org", "since": NOON - timedelta(days=9)}, ["C3", "A1"]),
        ({"recipient": "@example.net", "sender": "<>", "status": ("deferred",)}, ["B2"]),
        ({"recipient": "@example.net", "client": "192.0.2.7", "limit": 1}, ["B2"]),
        ({"recipient": "bob@example.net", "status": ("bounced",)}, ["B2"]),
        ({"recipient": "bob@example.net", "message_id": "1@example.org"}, ["A1"]),
        ({"sender": "'; DROP TABLE delivery_to; --"}, []),
        ({"recipient": "%s%(x)s{}"}, []),
    ],
)
@pytest.mark.usefixtures("some_mail")
def test_filters_find_what_fits(reading: "Connection", wanted: dict[str, Any], expected: list[str]) -> None:
    assert [each.split(">")[0] for each in found(reading, **wanted)] == expected


@pytest.mark.usefixtures("some_mail")
def test_a_record_has_the_fields_of_the_interface(reading: "Connection") -> None:
    [record] = search(reading, DeliverySearch(recipient="sales@example.net"))
    assert tuple(record) == FIELDS
    assert record["recipient"] == "Eve@Example.NET"
    assert record["orig_recipient"] == "sales@example.net"
    assert (record["status"], record["attempts"], record["sender"]) == ("deferred", 1, "")
    assert record["arrived_at"] == NOON - timedelta(seconds=60)


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"recipient": "x@example.net"},
        {"recipient": "x@example.net", "status": ("sent",)},
        {"sender": "x@example.net", "recipient": "@example.net"},
    ],
)
def test_two_thousand_and_more_are_fetched_as_they_are_needed(
    reading: "Connection", mail: Any, wanted: dict[str, Any]
) -> None:
    with mail._connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO delivery_from (arrived_at, queue_id, host, origin, sender) SELECT timestamptz"
            " '2026-11-23 12:00Z' + i * interval '1 second', 'Q' || i, 'mx1', 2, 'x@example.net'"
            " FROM generate_series(1, 4500) i;"
            "INSERT INTO delivery_to (arrived_at, queue_id, host, recipient, orig_recipient, origin, last_attempt_at,"
            " status, number, service, dsn, relay, reply, first_attempt_at, attempts, history)"
            " SELECT arrived_at, queue_id, host, 'x@example.net', '', 2, arrived_at, 'sent', 0, '', '', '', '',"
            " arrived_at, 1, '{}' FROM delivery_from"
        )
    records = search(reading, DeliverySearch(limit=0, **wanted))
    assert next(records)["queue_id"] == "Q4500"
    assert [record["queue_id"] for record in records] == [f"Q{i}" for i in range(4499, 0, -1)]


@pytest.mark.usefixtures("some_mail")
@pytest.mark.parametrize(
    "expected", [Expected(1, 9), Expected(9, 1), Expected(1e9, 1e9), Expected(9, None), Expected(None, 9), Expected()]
)
@pytest.mark.parametrize(
    ("wanted", "there"),
    [
        ({"recipient": "@example.net", "sender": "<>"}, ["Eve@Example.NET", "bob@example.net"]),
        ({"recipient": "sales@example.net", "client": "192.0.2.7"}, ["Eve@Example.NET"]),
        ({"client": "mail.example.com", "status": ("bounced",)}, ["bob@example.net"]),
        ({"recipient": "bob@example.net", "sender": "ann@example.org"}, []),
    ],
)
def test_the_side_from_which_a_search_begins_changes_nothing(
    reading: "Connection", expected: Expected, wanted: dict[str, Any], there: list[str]
) -> None:
    asked = keys(DeliverySearch(**wanted), NOON - timedelta(days=1), None, {}, expected)
    [found_keys] = conditions.pages(reading, asked, 9) if there else [[]]
    assert [recipient for _, _, _, recipient, _ in found_keys] == there


@pytest.mark.parametrize(
    "asked",
    ["Özgür@MÜNCHEN.example", "özgür@münchen.example", "@MÜNCHEN.example", "@MÜNCHEN.EXAMPLE", "Özg*", "*ZGÜR@*"],
)
def test_letters_of_any_alphabet_are_found_as_they_stand(reading: "Connection", mail: Any, asked: str) -> None:
    mail.both("A1", "Özgür@MÜNCHEN.example")
    mail.both("A2", "özgür@münchen.example")

    assert ("A1>" in "".join(found(reading, recipient=asked))) == (asked not in {"özgür@münchen.example", "*ZGÜR@*"})


def test_values_never_become_sql() -> None:
    evil = "x'; DROP TABLE delivery_to; --{} %s"
    asked = DeliverySearch(
        sender=evil, recipient=evil, queue_id=evil, message_id=evil, client=evil, status=(evil,), limit=3
    )
    for wanted in (asked, DeliverySearch(recipient=f"@{evil}", client=f"*{evil}", status=(evil,))):
        for known in ({}, {"sender": [evil], "client": [evil]}):
            for asked_so in (keys(wanted, NOON, None, known), rows_of([(NOON, evil, evil)], wanted.status, 3)):
                assert "DROP" not in repr(asked_so.sql)
                assert any("DROP" in str(parameter).upper() for parameter in asked_so.parameters)


def test_a_pattern_that_very_many_addresses_fit_finds_them_all_the_same(
    reading: "Connection", mail: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conditions, "MOST_NAMES", 2)
    for name in ("ann", "bob", "eve"):
        mail.both(name, f"{name}@example.net", client_name=f"{name}.example.com", sender=f"{name}@example.org")
    several: list[dict[str, str]] = [{"recipient": "*@example*"}, {"sender": "*@example*"}, {"client": "*example*"}]
    for wanted in (*several, several[0] | several[1], several[1] | {"recipient": "*@example.net", "client": "*"}):
        assert len(found(reading, **wanted)) == 3
    for wanted in (several[0] | {"sender": "*nn@*"}, several[1] | {"recipient": "ann@example.net"}):
        assert found(reading, **wanted) == ["ann>ann@example.net"]


@pytest.mark.parametrize("limit", [1, 3, 7, 50])
def test_the_newest_are_found_however_far_apart_they_are(reading: "Connection", mail: Any, limit: int) -> None:
    hours = (0, 0.5, 1, 4, 5, 20, 21, 85, 340, 341, 1365, 9000)
    for number, hour in enumerate(hours):
        mail.both(f"Q{number}", "x@example.net", after=-hour * 3600, sender="a@example.org")
    expected = [f"Q{number}>x@example.net" for number in range(len(hours))][:limit]
    since = NOON - timedelta(days=400)
    for wanted in ({"sender": "@example.org"}, {"recipient": "x@example.net"}, {"recipient": "*net"}, {}):
        assert found(reading, since=since, limit=limit, **wanted) == expected


def test_searches_only_read(reading: "Connection") -> None:
    with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction), reading.cursor() as cursor:
        cursor.execute("DELETE FROM delivery_to")


def test_without_our_tables_the_error_says_what_to_do(database: DatabaseSettings) -> None:
    with pytest.raises(ConfigurationError, match="journal-postfix migrate"), searching(database) as connection:
        list(search(connection, DeliverySearch()))


MOMENTS = (
    "held_at",
    "released_at",
    "expired_at",
    "deleted_at",
    "cancelled_at",
    "discarded_at",
    "rejected_at",
    "removed_at",
)


def test_a_search_by_status_finds_exactly_what_has_it(reading: "Connection", mail: Any) -> None:
    logged = (None, "sent", "deferred", "bounced", "rejected", "SOFTBOUNCE", "deliverable")
    states = [
        (),
        *((m,) for m in MOMENTS),
        ("held_at", "released_at"),
        ("held_at", "deleted_at"),
        ("expired_at", "removed_at"),
    ]
    cases = [(state, queued, status) for state in states for queued in (0.0, None) for status in logged]
    for i, (state, queued, status) in enumerate(cases):
        known = {moment: float(i + n) for n, moment in enumerate(state)}
        mail.message(f"Q{i}", i, queued_at=queued, client_name="h", message_id=None if i % 2 else "m@x", **known)
        if status is not None:
            service = "discard" if i % 5 == 0 else "smtp"
            mail.delivery(f"Q{i}", "bob@example.net", status, i, service=service, attempt_noted=i % 3 > 0)
    every = [(record["status"], record["queue_id"]) for record in search(reading, DeliverySearch(limit=0))]
    assert len(every) == len(cases)
    names = sorted({status for status, _ in every})
    assert {"sent", "deferred", "bounced", "expired", "deleted", "held", "rejected", "cancelled", "queued"} <= set(
        names
    )
    for wanted in [(name,) for name in names] + [
        ("bounced", "deferred"),
        ("held", "expired", "cancelled"),
        tuple(names),
    ]:
        records = search(reading, DeliverySearch(status=wanted, limit=0))
        assert [r["queue_id"] for r in records] == [queue_id for status, queue_id in every if status in wanted]
