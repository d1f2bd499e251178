"""Every format is understood as the cases in `cases/*.jsonl` say: a line, and the facts in it."""

import doctest
import json
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streams import parsing
from streams.parsing import Parsed, dispatch, parse, senders
from streams.parsing.coverage import CLASSES, PAGE, page
from streams.parsing.dispatch import FAMILIES, QUIET
from streams.parsing.everywhere import EVERYWHERE
from streams.parsing.formats import split_program

PID = 77
CASES = [
    json.loads(line)
    for file in sorted((Path(__file__).parent / "cases").glob("*.jsonl"))
    for line in file.read_text(encoding="utf-8").splitlines()
]


def facts_of(parsed: Parsed) -> dict[str, Any]:
    """What a line says, without what it doesn't: as the case files have it."""
    facts = {
        k: v for k, v in msgspec.to_builtins(parsed).items() if v not in (None, (), [], "") and (k, v) != ("origin", 0)
    }
    for part in ("attempt", "refusal", "session"):
        if part in facts:
            facts[part] = {k: v for k, v in facts[part].items() if v is not None and v != ""}
    if "moments" in facts:
        facts["moments"] = list(facts["moments"])
    return facts


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["text"][:60])
def test_a_line_is_understood(case: dict[str, Any]) -> None:
    assert facts_of(parse(case["program"], case["text"], PID)) == case["facts"]


def test_one_line_alone_tells_when_a_message_was_queued_and_its_sender_with_it() -> None:
    queued = [case["facts"] for case in CASES if "queued_at" in case["facts"].get("moments", [])]
    assert {facts["what"] for facts in queued} == {"qmgr.active"}
    assert all("sender" in facts["message"] for facts in queued), "which `schemas.merging.sender_order` relies on"


def test_every_format_with_facts_has_a_case() -> None:
    made = {case["facts"].get("what") for case in CASES if "ignored" not in case["facts"]}
    named = {
        found.what
        for family in FAMILIES.values()
        for formats in (family.queued, family.noqueue, family.bare, EVERYWHERE)
        for found in formats
        if found.make is not None and found.ignored is None
    }
    # Some names stand for a table's entry whose facts are named by the action in the line.
    acted = {
        "smtpd.access": "smtpd.reject",
        "cleanup.check": "cleanup.reject",
        "cleanup.milter": "cleanup.milter-reject",
    }
    silent = {"smtpd.login-failed", "delivery.bounce-failed"}
    assert {acted.get(name, name) for name in named} - silent <= made


def test_every_daemon_is_known_once() -> None:
    assert not set(FAMILIES) & set(QUIET)


@pytest.mark.parametrize(
    ("program", "parts"),
    [
        ("postfix/smtpd", ("postfix", "smtpd", "smtpd")),
        ("postfix-out/submission/smtpd", ("postfix-out", "submission/smtpd", "smtpd")),
        ("postfix/127.0.0.1:10025/smtpd", ("postfix", "127.0.0.1:10025/smtpd", "smtpd")),
        ("postfix/[::1]:10025/smtpd", ("postfix", "[::1]:10025/smtpd", "smtpd")),
        ("opendkim", ("", "opendkim", "opendkim")),
        ("", ("", "", "")),
    ],
)
def test_a_program_names_instance_service_and_daemon(program: str, parts: tuple[str, str, str]) -> None:
    assert split_program(program) == parts


PROGRAMS = st.sampled_from(
    [f"postfix/{daemon}" for daemon in (*FAMILIES, "anvil", "unheard-of")] + ["amavis", "", "a/b/c"]
)
PIECES = st.sampled_from(
    [
        "9D5CB98A3E3: ", "4XyZ1b2c3dz5Q: ", "NOQUEUE: ", "warning: ", "to=<", "from=<", ">", "<", '"', "\\", ", ", "; ",
        "relay=", "delay=1", "delays=1/2/3/4", "dsn=2.0.0", "status=sent (", ")", "reject: RCPT from ", "a[1.2.3.4]: ",
        "helo=<", "proto=ESMTP ", "client=", "message-id=", "header ", "size=", "nrcpt=", "removed", "hold: ",
        "sasl_username=", "é", "\0", "�", "=", ": ", " ", "queued as ", "forwarded as ",
    ]
)  # fmt: skip


@given(PROGRAMS, st.lists(st.one_of(PIECES, st.text(max_size=8)), max_size=40).map("".join))
def test_no_line_makes_the_parser_fail(program: str, text: str) -> None:
    parsed = parse(program, text, PID)
    assert parsed.what or facts_of(parsed) == {}
    if parsed.message is not None or parsed.moments or parsed.attempt is not None or parsed.child is not None:
        assert parsed.queue_id is not None


def test_a_cut_line_gives_what_is_there_or_nothing() -> None:
    whole = next(case for case in CASES if "orig_to" in case["text"])
    for length in range(len(whole["text"])):
        attempt = parse(whole["program"], whole["text"][:length], PID).attempt
        if attempt is not None:
            assert attempt.recipient == "b@example.org"
            assert whole["facts"]["attempt"]["reply"].startswith(attempt.reply)


def test_what_is_too_long_for_an_index_is_cut_and_two_stay_two() -> None:
    text = "9D5CB98A3E3: to=<{}>, relay=none, delay=1, delays=1/0/0/0, dsn=4.4.1, status=deferred (x)"
    one, other = (parse("postfix/smtp", text.format("a" * 5000 + end)).attempt for end in "xy")
    assert one is not None
    assert other is not None
    assert len(one.recipient) <= 256
    assert one.recipient != other.recipient

    ids = [parse("postfix/cleanup", f"9D5CB98A3E3: message-id=<{'a' * 5000}{end}>").message for end in "xy"]
    assert all(message is not None and len(message["message_id"]) <= 512 for message in ids)
    assert ids[0] != ids[1]


def test_a_line_that_tells_no_fate_is_of_a_class_that_the_page_explains() -> None:
    named = {
        found.ignored
        for family in FAMILIES.values()
        for formats in (family.queued, family.noqueue, family.bare, EVERYWHERE)
        for found in formats
        if found.ignored is not None
    }
    counted = {case["facts"]["ignored"] for case in CASES if "ignored" in case["facts"]}
    assert named | set(QUIET.values()) | counted <= CLASSES.keys()


def test_the_coverage_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "make schemas"


@pytest.mark.parametrize("module", [parsing, dispatch, senders])
def test_the_examples_in_the_docstrings_run(module: ModuleType) -> None:
    assert doctest.testmod(module, raise_on_error=True).failed == 0


BEGINNINGS = ["", "9D5CB98A3E3: ", "9D5CB98A3E3: reject: header ", "9D5CB98A3E3: info: header Subject: "] + [
    f"{head}: RCPT from a[1]: " for head in ("NOQUEUE: reject", "9D5CB98A3E3: milter-reject", "proxy-reject")
]


@given(
    PROGRAMS,
    st.sampled_from(BEGINNINGS),
    st.lists(PIECES, min_size=1, max_size=6).map("".join),
    st.sampled_from([2, 16, 64]),
)
@example("postfix/smtp", "9D5CB98A3E3: ", "to=<" + '"\\' * 40, 2)
@example("postfix/smtpd", "NOQUEUE: reject: RCPT from a[1]: ", "; from=<", 2)
@example("postfix/cleanup", "9D5CB98A3E3: reject: header ", "; from=<> to=<", 16)
@example("postfix/smtp", "9D5CB98A3E3: to=<a>, relay=", ", delay=1, status=", 16)
@example("postfix/smtp", "9D5CB98A3E3: to=<a>, relay=r, delay=1, status=deferred (", "host [", 2)
@example("postfix/smtp", "Trusted TLS connection established to ", "a[b]:1 to ", 16)
@example("postfix/smtpd", "disconnect from a[b] ", "starttls=0 ", 16)
@example("postfix/smtpd", "TLS connection reused from a[b]", ": TLS with cipher", 2)
def test_no_text_takes_more_than_a_millisecond_per_kilobyte(
    program: str, begins: str, piece: str, kilobytes: int
) -> None:
    text = (begins + piece * (kilobytes * 1024 // len(piece) + 1))[: kilobytes * 1024]
    seconds = []
    for _ in range(3):  # the least of three: what else the machine does is not the parser's
        began = time.thread_time()
        parse(program, text, PID)
        seconds.append(time.thread_time() - began)
    assert min(seconds) < kilobytes * 0.001


def test_the_examples_of_the_documentation_run() -> None:
    page = PAGE.with_name("parser.md")
    assert doctest.testfile(str(page), module_relative=False, raise_on_error=True).attempted >= 5
