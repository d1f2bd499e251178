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


def test_a_message_refused_as_a_whole_is_among_them_though_the_line_names_no_recipient(
    reading: "Connection", mail: Any
) -> None:
    """Postfix logs no recipient at DATA where there are several, and none of mail that is too large."""
    mail.message(
        "E5", -20, rejected_at=-10, sender="eve@example.org", client_address="192.0.2.9", reject_stage="DATA",
        reject_reply="550 5.7.1 not from you", reject_reason="policy",
    )  # fmt: skip
    mail.message("F6", -9, rejected_at=-5, reject_stage="END-OF-MESSAGE", reject_reply="queue file size limit exceeded")
    mail.delivery("F6", "unknown@example.net", "rejected", -9, stage="RCPT")
    mail.message("G7", -4, rejected_at=-4, reject_stage="DATA", reject_reply="554 5.7.1 no")
    mail.delivery("G7", "g@example.net", "rejected", -4, stage="DATA", reply="554 5.7.1 no")
    mail.message("H8", -3 * DAY, rejected_at=-3 * DAY, sender="eve@example.org", reject_stage="DATA", reject_reply="4")
    of_messages = [(record["queue_id"], record["recipient"]) for record in search(reading, RejectSearch())]
    assert of_messages == [("G7", "g@example.net"), ("F6", None), ("F6", "unknown@example.net"), ("E5", None)]
    [record] = search(reading, RejectSearch(sender="eve@example.org"))
    assert tuple(record) == FIELDS
    assert (record["at"], record["action"], record["stage"]) == (NOON - timedelta(seconds=10), "reject", "DATA")
    assert (record["code"], record["dsn"], record["reason"]) == (550, "5.7.1", "policy")
    for wanted, expected in (
        ({"client": "192.0.2.9"}, ["E5"]),
        ({"recipient": "@example.net", "queue_id": "F6"}, ["F6"]),
        ({"queue_id": "H8"}, ["H8"]),
        ({"action": ("milter-reject",)}, []),
        ({"sender": "eve@example.org", "until": NOON - timedelta(days=2.5)}, ["H8"]),
    ):
        assert [record["queue_id"] for record in search(reading, RejectSearch(**wanted))] == expected


@pytest.mark.parametrize("kind", ["whole", "recipient", "without an id"])
def test_a_host_with_a_wrong_clock_does_not_hide_the_others(reading: "Connection", mail: Any, kind: str) -> None:
    for name, after in (("NOW", -400 * DAY), ("FUTURE", 4000 * DAY)):
        if kind == "whole":
            mail.message(name, after, rejected_at=after, reject_stage="DATA", reject_reply=name)
        elif kind == "recipient":
            mail.message(name, after)
            mail.delivery(name, "x@example.net", "rejected", after, reply=name)
        else:
            mail.rejection("x@example.net", after, reply=name)
    assert [record["reply"] for record in search(reading, RejectSearch())] == ["FUTURE", "NOW"]
