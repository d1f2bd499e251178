import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.cells import cell_len
from rich.text import Text

from journal_postfix.rendering.mail_tables import delivery_lines, reject_lines, short_time
from journal_postfix.rendering.table import Column, column_widths
from web.searches.journey import client_of

NOW = datetime(2026, 11, 23, 14, 30, tzinfo=UTC)
AT = datetime(2026, 11, 23, 6, 28, 35, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.delenv("TZ")
    time.tzset()


def delivery(**changes: object) -> dict[str, Any]:
    record = {
        "arrived_at": AT, "status": "sent", "queue_id": "9D5CB98A3E3", "sender": "ann@example.org",
        "recipient": "bob@example.net", "relay": "mx.example.net[192.0.2.1]:25", "reply": "250 2.0.0 Ok",
    }  # fmt: skip
    return record | changes


def rejection(**changes: object) -> dict[str, Any]:
    record = {
        "at": AT, "action": "reject", "stage": "RCPT", "client_name": "unknown", "client_address": "192.0.2.7",
        "code": 550, "dsn": "5.1.1", "reply": "550 5.1.1 <x@example.org>: no such user", "sender": "",
        "recipient": "x@example.org",
    }  # fmt: skip
    return record | changes


def plain_lines(lines: Iterable[Text]) -> list[str]:
    return [line.plain for line in lines]


def test_a_delivery_fits_80_columns_with_nothing_cut_that_need_not_be() -> None:
    assert plain_lines(delivery_lines([delivery()], 80, NOW)) == [
        "ARRIVED         STATUS  QUEUE ID     SENDER           RECIPIENT",
        "11-23 06:28:35  sent    9D5CB98A3E3  ann@example.org  bob@example.net",
    ]


def test_below_what_was_not_sent_stands_why() -> None:
    reply = "550 5.1.1 no such user (in reply to RCPT TO command), and more that nobody reads"
    lines = plain_lines(delivery_lines([delivery(status="bounced", reply=reply)], 80, NOW))
    assert lines[2].startswith("    mx.example.net[192.0.2.1]:25: 550 5.1.1 no such user")
    assert lines[2].endswith("…")
    assert len(lines[2]) == 80


def test_a_reply_that_names_the_host_is_not_told_it_twice() -> None:
    reply = "host mx.example.net[192.0.2.1] said: 550 5.1.1 no such user"
    lines = plain_lines(delivery_lines([delivery(status="bounced", reply=reply)], 80, NOW))
    assert lines[2] == f"    {reply}"


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_no_line_is_longer_than_the_terminal(width: int) -> None:
    long = "x" * 300 + "@" + "日本" * 100 + ".example"
    records = [
        delivery(sender=long, recipient=long, status="deferred", reply=long),
        delivery(sender="", recipient=None),
    ]
    lines = plain_lines(delivery_lines(records, width, NOW))
    lines += plain_lines(
        reject_lines([rejection(sender=long, recipient=long, client_name=long, reply=long)], width, NOW)
    )
    assert len(lines) == 7
    assert max(map(cell_len, lines)) <= width


def test_the_null_sender_and_a_mail_without_recipients_are_told_apart_from_what_is_unknown() -> None:
    lines = plain_lines(delivery_lines([delivery(sender="", recipient=None), delivery(sender=None)], 80, NOW))
    assert lines[1].split()[-2:] == ["<>", "-"]
    assert lines[2].split()[-2:] == ["?", "bob@example.net"]


def test_a_hostile_log_line_cannot_act_on_the_terminal() -> None:
    evil = "\x1b]0;owned\x07\x9b2J\u202e[bold]x[/bold]\r\n"
    lines = plain_lines(delivery_lines([delivery(sender=evil, status="bounced", reply=evil, queue_id=evil)], 200, NOW))
    lines += plain_lines(reject_lines([rejection(helo=evil, reply=evil, action=evil, stage=evil)], 200, NOW))
    text = "".join(lines)
    assert not set(text) & set("\x1b\x07\x9b\u202e\r\n")
    assert "[bold]x[/bold]" in text


def test_a_rejection_shows_who_what_and_the_answer_once() -> None:
    assert plain_lines(reject_lines([rejection()], 80, NOW)) == [
        "AT              ACTION  CLIENT     SENDER  RECIPIENT",
        "11-23 06:28:35  reject  192.0.2.7  <>      x@example.org",
        "    RCPT: 550 5.1.1 <x@example.org>: no such user",
    ]


@pytest.mark.parametrize(
    ("changes", "below"),
    [
        ({"reply": "no such user", "stage": None}, ["    550 5.1.1 no such user"]),
        ({"reply": "5.1.1 no such user"}, ["    RCPT: 550 5.1.1 no such user"]),
        ({"reply": "5.7.1 Spam", "dsn": "5.7.1", "code": None}, ["    RCPT: 5.7.1 Spam"]),
        ({"reply": "Spam", "dsn": None, "code": None}, ["    RCPT: Spam"]),
        ({"reply": "550 no", "dsn": None}, ["    RCPT: 550 no"]),
        ({"reply": None, "dsn": "5.1.1"}, ["    RCPT: 550 5.1.1"]),
        ({"reply": None, "dsn": None, "code": None}, ["    RCPT"]),
        ({"reply": None, "dsn": None, "code": None, "stage": None}, []),
    ],
)
def test_the_answer_has_its_code_and_its_dsn_once(changes: dict[str, Any], below: list[str]) -> None:
    assert plain_lines(reject_lines([rejection(**changes)], 80, NOW))[2:] == below


@pytest.mark.parametrize(
    ("name", "address", "shown"),
    [
        ("mx.org", "192.0.2.1", "mx.org[192.0.2.1]"),
        ("unknown", "192.0.2.1", "192.0.2.1"),
        (None, None, ""),
        ("mx.org", None, "mx.org"),
    ],
)
def test_a_client_is_named_as_far_as_it_is_known(name: str | None, address: str | None, shown: str) -> None:
    assert client_of({"client_name": name, "client_address": address}) == shown


def test_a_time_of_another_year_shows_the_year() -> None:
    assert short_time(AT, NOW) == "11-23 06:28:35"
    assert short_time(AT.replace(year=2024), NOW) == "2024-11-23 06:28"
    assert short_time(None, NOW) == ""


def test_an_elastic_column_that_needs_little_leaves_the_rest_to_the_others() -> None:
    columns = (Column("A", 1), Column("B", 8, elastic=True), Column("C", 8, elastic=True))
    assert column_widths(columns, [("1234", "short", "x" * 100)], 40) == [4, 5, 27]
