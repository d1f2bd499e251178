from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from web.searches.rejects import FIELDS, RejectSearch, search

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

pytestmark = pytest.mark.postgres

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
DAY = 86_400


def found(reading: "Connection", **wanted: Any) -> list[str]:
    return [record["recipient"] for record in search(reading, RejectSearch(**wanted))]


@pytest.fixture
def some_rejections(mail: Any) -> None:
    mail.rejection("old@example.net", -3 * DAY, sender="ann@example.org")
    mail.rejection("a@example.net", -60, sender="", client_name="unknown", client_address="192.0.2.7")
    mail.rejection("b@example.net", -40, sender="Eve@Example.org", action="milter-reject", client_name="h.example.com")
    mail.message("C3", -50, sender="ann@example.org", client_address="192.0.2.8", helo="h", protocol="ESMTP")
    mail.delivery("C3", "c@example.net", "rejected", -50, reply="550 5.1.1 no such user", dsn="5.1.1", service="smtpd")
    mail.delivery("C3", "sent@example.net", "sent", -50)
    mail.message("D4", -30, rejected_at=-20)
    mail.delivery(
        "D4", "d@example.net", "rejected", -30, last_attempt_at=-20, reply="4.7.1 later", dsn="", stage="DATA"
    )


@pytest.mark.usefixtures("some_rejections")
def test_both_kinds_come_newest_first_within_the_last_day_that_has_any(reading: "Connection") -> None:
    assert found(reading) == ["d@example.net", "b@example.net", "c@example.net", "a@example.net"]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"recipient": "a@example.net"}, "a"),
        ({"recipient": "@example.net"}, "dbca"),
        ({"recipient": "*old*", "since": NOON - timedelta(days=9)}, "o"),
        ({"sender": "<>"}, "a"),
        ({"sender": "ann@example.org"}, "c"),
        ({"sender": "@example.org", "since": NOON - timedelta(days=9)}, "bco"),
        ({"client": "192.0.2.7"}, "a"),
        ({"client": "192.0.2.8"}, "c"),
        ({"client": "*.example.com"}, "b"),
        ({"queue_id": "C3"}, "c"),
        ({"queue_id": "D4", "since": NOON}, ""),
        ({"action": ("reject",)}, "dca"),
        ({"action": ("milter-reject",)}, "b"),
        ({"limit": 3}, "dbc"),
        ({"limit": 0, "since": NOON - timedelta(days=9)}, "dbcao"),
        ({"since": NOON - timedelta(seconds=40)}, "db"),
        ({"until": NOON - timedelta(seconds=40)}, "ca"),
        ({"until": NOON - timedelta(days=1)}, ""),
        ({"since": NOON - timedelta(days=9), "until": NOON - timedelta(days=1)}, "o"),
    ],
)
@pytest.mark.usefixtures("some_rejections")
def test_filters_find_what_fits(reading: "Connection", wanted: dict[str, Any], expected: str) -> None:
    assert "".join(recipient[0] for recipient in found(reading, **wanted)) == expected


@pytest.mark.usefixtures("some_rejections")
def test_a_record_has_the_fields_of_the_interface(reading: "Connection") -> None:
    records = {record["recipient"][0]: record for record in search(reading, RejectSearch())}
    assert all(tuple(record) == FIELDS for record in records.values())
    refused = records["c"]
    assert (refused["at"], refused["action"], refused["stage"]) == (NOON - timedelta(seconds=50), "reject", None)
    assert (refused["code"], refused["dsn"], refused["reply"]) == (550, "5.1.1", "550 5.1.1 no such user")
    assert (refused["client_address"], refused["helo"], refused["service"]) == ("192.0.2.8", "h", "smtpd")


@pytest.mark.usefixtures("some_rejections")
def test_what_is_not_said_is_unknown(reading: "Connection") -> None:
    [whole] = search(reading, RejectSearch(queue_id="D4"))
    assert (whole["code"], whole["dsn"], whole["stage"]) == (None, None, "DATA")
