"""The commands that look at the mail, as a user calls them."""

import csv
import json
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from journal_postfix.application import application
from web.searches.rejects import ACTIONS
from web.searches.status_conditions import OF_MESSAGES, OF_RECIPIENTS, STATUSES

if TYPE_CHECKING:
    from click.testing import Result

    from schemas.settings import DatabaseSettings

pytestmark = pytest.mark.postgres


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch, tables: "DatabaseSettings") -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TZ", "UTC")
    for field, value in tables.model_dump(mode="json", exclude_none=True).items():
        monkeypatch.setenv(f"JOURNAL_POSTFIX_DATABASE__{field.upper()}", str(value))
    if tables.password is not None:
        monkeypatch.setenv("JOURNAL_POSTFIX_DATABASE__PASSWORD", tables.password.get_secret_value())


def run(*arguments: str) -> "Result":
    return CliRunner().invoke(application, arguments)


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        (("deliveries",), "discarded"),
        (("trace", "A1"), "discarded  bob@example.net"),
        (("trace", "B2"), "cancelled  given up"),
    ],
)
def test_every_command_tells_the_same_of_a_mail(mail: Any, command: tuple[str, ...], shown: str) -> None:
    mail.message("A1")
    mail.delivery("A1", "bob@example.net", service="discard", reply="silently")
    mail.message("B2", queued_at=None, client_name="c", client_address="192.0.2.9")
    result = run(*command)
    assert result.exit_code == 0
    assert shown in result.stdout
    assert "  sent  " not in result.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "hint"),
    [
        (("trace", "nobody@example.org"), 1, "journal-postfix rejects"),
        (("deliveries", "--sender", "nobody@example.org"), 0, "--since DATE looks further back"),
        (("deliveries", "--sender", "x@y", "--since", "2027-01-01"), 0, "--since DATE looks further back"),
        (("deliveries", "--client", "127.0.0.*"), 0, "not of addresses"),
        (("deliveries", "--recipient", "@alias.example"), 0, "after aliases"),
        (("deliveries", "--recipient", "*@alias.example"), 0, "after aliases"),
        (("rejects", "--status", "hold"), 0, "--since DATE looks further back"),
        (("rejects", "--recipient", "eve@example.net"), 0, "'*ann@example.org' finds it in any"),
    ],
)
def test_where_nothing_is_found_it_is_said_what_may_help(
    mail: Any, arguments: tuple[str, ...], code: int, hint: str
) -> None:
    mail.both("A1", "bob@example.net")
    mail.rejection("bob@example.net")
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert hint in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("deliveries", "--queue-id", "ZZ"), ("deliveries", "--message-id", "z@example.org"),
        ("rejects", "--queue-id", "ZZ"), ("deliveries", "--sender", "x@y", "--since", "2026-11-01"),
        ("rejects", "--recipient", "x@y", "--since", "2026-11-01"),
    ],
)  # fmt: skip
def test_no_earlier_date_is_proposed_to_a_search_that_looked_there(mail: Any, arguments: tuple[str, ...]) -> None:
    mail.both("A1", "bob@example.net")
    mail.rejection("bob@example.net")
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (0, "")
    assert "--since" not in result.stderr
    assert " fits." in result.stderr


@pytest.mark.parametrize(
    ("there", "command", "said"),
    [
        ("mail", "rejects", "No rejection is known at all."),
        ("rejections", "deliveries", "No delivery is known at all."),
        ("nothing", "rejects", "The database holds nothing yet"),
        ("nothing", "deliveries", "The database holds nothing yet"),
    ],
)
def test_a_database_is_called_empty_only_where_it_is(mail: Any, there: str, command: str, said: str) -> None:
    if there == "mail":
        mail.both("A1", "bob@example.net")
    elif there == "rejections":
        mail.rejection("bob@example.net")
    result = run(command)
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.startswith(said)


@pytest.mark.parametrize("output", ["table", "jsonl", "csv"])
@pytest.mark.parametrize("command", ["deliveries", "rejects"])
@pytest.mark.parametrize(("limit", "rows", "more"), [("2", 2, 1), ("3", 3, 0), ("0", 3, 0)])
def test_what_is_left_out_is_said_on_stderr(  # noqa: PLR0917 - the cases
    mail: Any, command: str, output: str, limit: str, rows: int, more: int
) -> None:
    for i in range(3):
        mail.both(f"Q{i}", f"{i}@example.net", after=i)
        mail.rejection(f"{i}@example.net", after=i)
    result = run(command, "--limit", limit, "--format", output)
    assert sum("@example.net" in line for line in result.stdout.splitlines()) == rows
    assert result.stderr.count("--limit 0") == more


def test_trace_says_that_a_word_stands_for_more_messages_than_it_shows(mail: Any) -> None:
    for i in range(6):
        mail.both(f"Q{i}", "bob@example.net", after=i)
    result = run("trace", "bob@example.net")
    assert result.stdout.count(" on mx1") == 5
    assert "the newest 5 messages" in result.stderr
    assert run("trace", "Q1").stderr == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("deliveries", "--status", "bounce"), "no such status; there are sent, deferred, bounced,"),
        (("deliveries", "--status", "sent,bounced"), "no such status"),
        (("rejects", "--status", "rejected"), "no such status; there are reject, milter-reject,"),
        (("deliveries", "--since", "1h", "--until", "2h"), "--until 2h is not after --since 1h"),
        (("rejects", "--since", "1h", "--until", "1d"), "--until 1d is not after --since 1h"),
        (("stats", "--mail", "--since", "1h", "--until", "2h"), "--until 2h is not after --since 1h"),
        (("deliveries", "--limit", "9" * 20), "--limit"),
        (("rejects", "--limit", "9" * 20), "--limit"),
        (("stats", "--mail", "--limit", "9" * 20), "--limit"),
        (("deliveries", "--sender", ""), "null sender"),
        (("rejects", "--recipient", " "), "empty"),
        (("trace", ""), "empty"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(arguments: tuple[str, ...], said: str) -> None:
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in " ".join(result.stderr.replace("│", " ").split())


@pytest.mark.parametrize("status", [*STATUSES, "Sent"])
def test_every_status_that_there_is_can_be_asked_for(status: str) -> None:
    assert run("deliveries", "--status", status).exit_code == 0


@pytest.mark.parametrize("action", ACTIONS)
def test_every_action_that_there_is_can_be_asked_for(action: str) -> None:
    assert run("rejects", "--status", action).exit_code == 0


def test_the_statuses_are_those_that_searches_know() -> None:
    assert {*STATUSES} == {*OF_MESSAGES, *OF_RECIPIENTS, "sent", "queued"}


@pytest.mark.parametrize("field", ["sender", "recipient"])
def test_bytes_that_are_not_utf_8_are_looked_for_as_the_log_spells_them(mail: Any, field: str) -> None:
    mail.message("A1", sender=r"a\xffb@example.org")
    mail.delivery("A1", r"a\xffb@example.net")
    domain = {"sender": "org", "recipient": "net"}[field]
    for word in (f"a\udcffb@example.{domain}", f"*\udcffb@example.{domain}"):
        assert "A1" in run("deliveries", f"--{field}", word).stdout
    assert "A1 on mx1" in run("trace", f"a\udcffb@example.{domain}").stdout


@pytest.mark.parametrize(
    ("client", "found"),
    [
        ("2001:db8::7", "A1"), ("2001:DB8:0::7", "A1"), ("[2001:db8::7]", "A1"), ("IPv6:2001:db8::7", "A1"),
        ("[127.0.0.1]", "B2"), ("127.0.0.1", "B2"), ("Mail.Example.ORG", "A1"), ("*.example.org", "A1"),
        ("localhost", "B2"),
    ],
)  # fmt: skip
def test_a_client_is_found_however_its_address_is_written(mail: Any, client: str, found: str) -> None:
    mail.both("A1", "bob@example.net", client_name="mail.example.org", client_address="2001:db8::7")
    mail.both("B2", "bob@example.net", client_name="LocalHost", client_address="127.0.0.1")
    records = map(json.loads, run("deliveries", "--client", client, "--format", "jsonl").stdout.splitlines())
    assert [record["queue_id"] for record in records] == [found]


def test_rejects_say_of_which_message_a_recipient_was_refused(mail: Any) -> None:
    mail.message("A1")
    mail.delivery("A1", "bob@example.net", "rejected", reply="550 no")
    mail.rejection("eve@example.net", after=-1)
    lines = run("rejects", "--format", "jsonl").stdout.splitlines()
    assert [json.loads(line)["queue_id"] for line in lines] == ["A1", None]
    rows = csv.DictReader(run("rejects", "--format", "csv").stdout.splitlines())
    assert [row["queue_id"] for row in rows] == ["A1", ""]


def test_statistics_of_a_host_that_is_not_known_name_those_that_are(mail: Any) -> None:
    mail.both("A1", "bob@example.net")
    mail.both("B2", "bob@example.net", host="mx2")
    result = run("stats", "--mail", "--host", "nohost")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "no mail of such a host is known; there are mx1, mx2" in result.stderr
    assert run("stats", "--mail", "--host", "mx2").exit_code == 0
