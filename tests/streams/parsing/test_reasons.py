"""Why mail was not delivered is one of a few reasons: every rule decides somewhere, real replies read as expected."""

import json
import time
from pathlib import Path

import pytest

from streams.parsing.reason_tables import BY_CODE, BY_STATUS, PHRASES, REASONS
from streams.parsing.reasons import reason_of

CASES = [
    json.loads(line) for line in (Path(__file__).parent / "replies.jsonl").read_text(encoding="utf-8").splitlines()
]


@pytest.mark.parametrize(("reason", "phrase"), [(reason, phrase) for reason, phrases in PHRASES for phrase in phrases])
def test_a_phrase_alone_gives_its_reason(reason: str, phrase: str) -> None:
    assert reason_of(f"550 5.9.9 We say: {phrase.upper()}!", "5.9.9", 550) == reason


@pytest.mark.parametrize("status", BY_STATUS)
@pytest.mark.parametrize("kind", ["4", "5"])
def test_a_status_code_alone_gives_its_reason(kind: str, status: str) -> None:
    assert reason_of("", f"{kind}.{status}", None) == BY_STATUS[status]


@pytest.mark.parametrize("code", BY_CODE)
def test_an_smtp_code_alone_gives_its_reason(code: int) -> None:
    assert reason_of("no", None, code) == BY_CODE[code]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["reply"][:60])
def test_a_reply_has_a_reason(case: dict[str, str]) -> None:
    dsn, code = case.get("dsn"), case.get("code")
    assert reason_of(case["reply"], dsn, int(code) if code else None) == case["reason"]


def test_every_reason_is_used_and_explained() -> None:
    used = {reason for reason, _ in PHRASES} | {*BY_STATUS.values()} | {*BY_CODE.values()} | {"other"}
    assert used == REASONS.keys()


def test_names_that_senders_choose_are_no_evidence() -> None:
    assert (
        reason_of("550 5.1.1 <virus-spam@greylist.test>: Recipient address rejected: Access denied", "5.7.1", 550)
        == "policy"
    )
    assert (
        reason_of("connect to spam.virus.test[192.0.2.1]:25: Connection refused", "4.4.1", None) == "connection-refused"
    )
    assert reason_of("Name service error for name=spam.test type=MX: Host not found", "5.4.4", None) == "unknown-domain"


@pytest.mark.parametrize("name", ["greylist", "mailbox.full", "quota.exceeded", 'a" greylist', "virus scanner"])
def test_the_name_of_an_unknown_user_is_no_evidence(name: str) -> None:
    assert reason_of(f'unknown user: "{name}"', "5.1.1", None) == "unknown-user"


@pytest.mark.parametrize(
    "address",
    [
        '<"x> greylist"@d.test>', '<a."x> greylist"@d.test>', r'<"x\"> greylist"@d.test>', '<"x>"."> greylist"@d.test>',
        '"greylist me"@d.test', r'"a\" greylist me"@d.test', "greylist@d.test", "<greylist@d.test", '"greylist"',
        "(greylist@[192.0.2.1])",
    ],
)  # fmt: skip
def test_an_address_is_no_evidence_however_it_is_written(address: str) -> None:
    assert reason_of(f"554 5.7.1 {address}: Relay access denied", "5.7.1", 554) == "relay-denied"


def test_what_a_server_quotes_is_evidence() -> None:
    reply = 'host mx.test[192.0.2.7] said: 550 "The account or domain may not exist, they may be blacklisted" x@d.test'
    assert reason_of(reply, "5.0.0", 550) == "reputation"


@pytest.mark.parametrize("text", ["Error: queue file write error", "<a@d.test>: Temporary lookup failure"])
def test_the_error_of_another_host_is_not_of_this_one(text: str) -> None:
    assert reason_of(f"451 4.3.0 {text}", "4.3.0", 451) == "local-error"
    assert reason_of(f"host mx.test[192.0.2.7] said: 451 4.3.0 {text}", "4.3.0", 451) == "unavailable"
    assert reason_of(f"host mx.test[192.0.2.7] refused to talk to me: 451 {text}", "4.0.0", 451) == "unavailable"


def test_a_slow_reply_cannot_be_made() -> None:
    for piece in ('"', '\\"', '<"', '"\\', 'unknown user: "', "@", "a", "[", "<", "550-", "name=", "a<", '"a b"@'):
        begun = time.thread_time()
        reason_of(f"550-{piece * 5000}", "5.0.0", 550)
        assert time.thread_time() - begun < 0.05


def test_nothing_known_is_other() -> None:
    assert reason_of("", None, None) == "other"
    assert reason_of("599 no", "5.9.9", 599) == "other"
