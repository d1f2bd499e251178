import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.cells import cell_len

from journal_postfix.rendering.journey import hop_lines, json_text
from schemas.deliveries import DeliveryFrom, DeliveryTo
from web.searches.journey import Hop

AT = datetime(2026, 11, 23, 6, 28, 35, tzinfo=UTC)
DELIVERY_FIELDS = (*DeliveryTo.__struct_fields__, "effective_status")
NOW = AT + timedelta(hours=8)
EARLIER = "2026-11-23T06:28:40.000000Z\t1\t0000\tdeferred\t4.4.1\tnone\tconnect to mx: Connection refused"


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.delenv("TZ")
    time.tzset()


def hop(link: str = "", linked_from: str = "", more: int = 0, **known: Any) -> Hop:
    message = dict.fromkeys(DeliveryFrom.__struct_fields__) | {
        "host": "mx1", "queue_id": "9D5CB98A3E3", "arrived_at": AT, "sender": "ann@example.org", "size": 541,
        "message_id": "1@example.org", "client_address": "192.0.2.7", "removed_at": AT + timedelta(minutes=2),
    } | {name: value for name, value in known.items() if name in DeliveryFrom.__struct_fields__}  # fmt: skip
    delivery = dict.fromkeys(DeliveryTo.__struct_fields__) | {"effective_status": "sent"} | {
        "recipient": "bob@example.net", "last_attempt_at": AT + timedelta(minutes=2), "status": "sent",
        "service": "smtp", "attempts": 2, "relay": "mx[192.0.2.1]:25", "dsn": "2.0.0", "reply": "250 Ok",
        "history": [EARLIER],
    } | {name: value for name, value in known.items() if name in DELIVERY_FIELDS}  # fmt: skip
    return Hop(message=message, deliveries=[delivery], more=more, link=link, linked_from=linked_from)


def test_a_hop_is_a_heading_and_a_timeline() -> None:
    lines = [line.plain for line in hop_lines([hop()], 80, NOW)]
    assert lines == [
        "9D5CB98A3E3 on mx1",
        "  sender ann@example.org",
        "  message-id <1@example.org>",
        "  11-23 06:28:35  arrived    from 192.0.2.7, 541 bytes",
        "  11-23 06:28:40  deferred   bob@example.net  attempt 1",
        "                             4.4.1 connect to mx: Connection refused",
        "  11-23 06:30:35  sent       bob@example.net  smtp, attempt 2",
        "                             mx[192.0.2.1]:25: 2.0.0 250 Ok",
        "  11-23 06:30:35  removed",
    ]


def test_a_hop_that_was_reached_over_a_link_says_so_and_what_was_left_out() -> None:
    lines = [line.plain for line in hop_lines([hop(), hop(link="made from", linked_from="3F2A", more=7)], 80, NOW)]
    assert lines[9] == ""
    assert lines[10] == "9D5CB98A3E3 on mx1  (made from 3F2A)"
    assert lines[-1] == "  and 7 more: journal-postfix deliveries --queue-id 9D5CB98A3E3 --limit 0"


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_line_is_longer_than_the_terminal_and_none_acts_on_it(width: int) -> None:
    evil = "\x1b[2J\x9b\r\n\u202e日本x" * 80
    one = hop(sender=evil, message_id=evil, reply=evil, recipient=evil, orig_recipient=evil, relay=evil, host=evil)
    lines = [line.plain for line in hop_lines([one], width, NOW)]
    assert max(map(cell_len, lines)) <= width
    assert not set("".join(lines)) & set("\x1b\x9b\r\n\u202e")


def test_json_holds_every_attempt_in_order() -> None:
    [document] = json.loads(json_text([hop()]))
    assert document["message"]["arrived_at"] == "2026-11-23T06:28:35.000000Z"
    [delivery] = document["deliveries"]
    assert [(a["at"], a["status"]) for a in delivery["history"]] == [
        ("2026-11-23T06:28:40.000000Z", "deferred"),
        ("2026-11-23T06:30:35.000000Z", "sent"),
    ]
    assert delivery["recipient"] == "bob@example.net"


def test_json_has_the_effective_status_and_the_attempts_as_they_were_logged() -> None:
    [document] = json.loads(json_text([hop(status="deferred", effective_status="expired")]))
    [delivery] = document["deliveries"]
    assert delivery["status"] == "expired"
    assert [attempt["status"] for attempt in delivery["history"]] == ["deferred", "deferred"]
    assert "effective_status" not in delivery
    assert document["message"]["status"] is None


def test_json_is_json_whatever_a_reply_holds_and_no_terminal_acts_on_it() -> None:
    evil = "\u2028\x85\r\n\x9b2J\x7f\u202e\U000e0041\x1b"
    text = json_text([hop(reply=evil)])
    assert json.loads(text)[0]["deliveries"][0]["reply"] == evil
    assert not set(text) & set(evil) - set("\n2J")
    assert json.loads("\n".join(text.splitlines()))[0]["deliveries"][0]["reply"] == evil
