"""A line that somebody made to be slow is not: the time of any line grows with its length, and no faster."""

import json
import time
from pathlib import Path

import pytest

from producers.frames import frame_of, rows_of
from streams.parsing.dispatch import parse

CASES = [
    (case["program"], case["text"])
    for file in sorted((Path(__file__).parent / "cases").glob("*.jsonl"))
    for case in map(json.loads, file.read_text().splitlines())
]
PIECES = (" ", "<", '"', "\\", "a=b ", ", ", ": ", "]", "1.", 'to=<"', "from=<a> ", "host a said: ", "=?utf-8?q?a?= ")
LENGTH = 50_000
MOST_SECONDS = 0.25
"""Thirty times what the slowest takes; one that looks twice at each character takes longer."""


@pytest.mark.parametrize("piece", PIECES)
def test_no_format_can_be_made_slow(piece: str) -> None:
    filler = piece * (LENGTH // len(piece))
    slow = []
    for program, text in CASES[:: len(CASES) // 60]:
        for cut in (0, len(text) // 2, len(text)):
            begun = time.thread_time()
            parse(program, text[:cut] + filler + text[cut:])
            if (took := time.thread_time() - begun) > MOST_SECONDS:
                slow.append((took, program, text[:cut]))
    assert slow == []


@pytest.mark.parametrize(
    "head",
    [
        b"", b"Nov 22 06:00:00 mx1 postfix/smtpd[7]: ", b'{"MESSAGE":"', b"2026-11-22T06:00:00Z stdout F ",
        b'<22>1 2026-11-22T06:00:00Z mx1 postfix/smtpd 7 - [a b="',
        b"Nov 22 06:00:00 mx1 postfix/smtpd[7]: message repeated 2 times: [ ", b"Nov 22 06:00:00 mx1 postfix/[::1]:",
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "piece",
    [
        b" ", b'"', b"\\", b'{"a":', b"[", b'["', b"message repeated 2 times: [ ", b"\xff", b"a/", b"a/b:25/",
        b"/[::1]:25",
    ],
)  # fmt: skip
def test_no_frame_can_be_made_slow(head: bytes, piece: bytes) -> None:
    line = head + piece * (LENGTH // len(piece))
    begun = time.thread_time()
    assert len(rows_of(line + b"\n")) <= 1
    frame_of(line)
    assert time.thread_time() - begun < MOST_SECONDS


@pytest.mark.parametrize(
    "word",
    [
        "=?utf-7?q?+2AA-?=", "=?unicode_escape?q?=5Cud800?=", "=?utf-8?q?a=00b?=", "=?utf-16?b?AAA?=", "=?x?q?a?=",
        "=?utf-8?b?!!!?=", "=?hex?q?61?=", "=?utf-8?q?" + "a" * 5000,
    ],
)  # fmt: skip
def test_a_subject_can_hold_nothing_that_no_row_can(word: str) -> None:
    parsed = parse(
        "postfix/cleanup", f"9D5CB98A3E3: info: header Subject: {word} from n.test[192.0.2.1]; from=<a@b.test> "
        "to=<c@d.test> proto=ESMTP helo=<h>"
    )  # fmt: skip
    subject = parsed.message["subject"]
    assert isinstance(subject, str)
    assert "\0" not in subject
    assert subject.encode().decode() == subject
