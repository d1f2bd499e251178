"""Why mail was not delivered is one of a few reasons: every rule decides somewhere, real replies read as expected."""

import json
from pathlib import Path

import pytest

from streams.parsing.reasons import BY_CODE, BY_STATUS, PHRASES, REASONS, reason_of

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


def test_nothing_known_is_other() -> None:
    assert reason_of("", None, None) == "other"
    assert reason_of("599 no", "5.9.9", 599) == "other"
