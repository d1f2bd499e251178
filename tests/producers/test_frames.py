"""The frame of a line, in every form that mail hosts write."""

import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.clock import Clock
from producers.frames import Frame, frame_of, origin_of, rows_of, says_nothing
from producers.relevance import Relevance
from schemas.keys import key_of, queue_id_of
from schemas.timestamps import to_text
from streams.parsing import parse
from streams.parsing.formats import split_program

CASES: list[dict[str, Any]] = tomllib.loads(Path(__file__).with_name("frames.toml").read_text(encoding="utf-8"))["case"]
PLAIN = {
    "host": "mx1", "program": "postfix/smtpd", "pid": 42, "text": "connect from a[192.0.2.1]", "times": 1,
    "again": False, "time": "2026-11-23T06:28:35Z",
}  # fmt: skip
LISTENERS = [
    "postfix/127.0.0.1:10025", "postfix/[::1]:10025", "postfix/localhost:smtp", "postfix/[127.0.0.1]:25",
    "out/[2001:db8::1]:25", "out/a/mx-1.d.test:submission",
]  # fmt: skip
CLOCK_AT = datetime(2026, 11, 23, 12, tzinfo=UTC)


def said(line: bytes) -> dict[str, Any] | None:
    """Return what the frame of *line* says, as the data file has it."""
    found = frame_of(line)
    if found is None:
        return None
    seconds = Clock(UTC, now=CLOCK_AT).at(found.stamp, found.zone) if found.stamp else None
    micros = int(found.fraction.ljust(6, b"0")[:6] or 0)
    moment = "" if seconds is None else to_text(seconds + micros).replace(".000000Z", "Z")
    values = found._asdict() | {"time": moment}
    return {
        name: value.decode("latin-1") if isinstance(value := values[name], bytes) else value
        for name in (PLAIN if not found.again else PLAIN.keys() - {"text"})
    }


@pytest.mark.parametrize("end", ["", "\r", "\r\r"])
@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_every_form_of_frame_is_taken_off(case: dict[str, Any], end: str) -> None:
    wanted = {**PLAIN, **case}
    if wanted["again"]:
        del wanted["text"]

    found = said((case["line"] + end).encode("latin-1"))

    assert found == {name: wanted[name] for name in PLAIN if name in wanted}


OF_SMTPD = [case for case in CASES if "postfix/smtpd" in case["line"] and case.get("pid") != 0]


@pytest.mark.parametrize("service", LISTENERS)
@pytest.mark.parametrize("case", OF_SMTPD, ids=[case["name"] for case in OF_SMTPD])
def test_a_program_may_have_the_name_of_a_listener_in_every_form(case: dict[str, Any], service: str) -> None:
    line = case["line"].replace("postfix/smtpd", f"{service}/smtpd").encode("latin-1")
    wanted = {**PLAIN, **case, "program": f"{service}/smtpd"}
    if wanted["again"]:
        del wanted["text"]

    assert said(line) == {name: wanted[name] for name in PLAIN if name in wanted}


@pytest.mark.parametrize("service", LISTENERS)
def test_lines_of_a_listener_are_relevant_and_of_their_message(service: str) -> None:
    line = f"Nov 23 06:28:35 mx1 {service}/smtpd[42]: 9D5CB98A3E3: client=localhost[127.0.0.1]"
    frame = frame_of(line.encode())
    assert frame is not None
    program = frame.program.decode()

    assert Relevance(("postfix*",))(program)
    assert split_program(program)[2] == "smtpd"
    assert key_of("mx1", program, 42, frame.text) == b"mx1/9D5CB98A3E3"
    assert parse(program, frame.text.decode(), 42).what == "smtpd.client"


@pytest.mark.parametrize(
    ("line", "program"),
    [
        (b"postfix/smtpd[7]: postfix/[::1]:25/qmgr[8]: x", b"postfix/smtpd"),
        (b"postfix/smtpd[7]:postfix/[::1]:25/qmgr[8]: x", b"postfix/smtpd"),
        (b"postfix/smtpd[7]:25/qmgr[8]: x", b"postfix/smtpd"),
        (b"postfix/smtpd[7] a/b:25/qmgr[8]: x", b"postfix/smtpd"),
        (b"postfix/smtpd: a/b:25/qmgr[8]: x", b"postfix/smtpd"),
        (b"other/[7]: a/b:25/qmgr[8]: x", b"other/"),
        (b"other/[7]:25/qmgr[8]: x", b"other/"),
        (b"other: a/b:25/qmgr[8]: x", b"other"),
        (b"a b/c:25/qmgr[8]: x", b""),
        (b"a/b:25/other[8]: x", b""),
        (b"a/b:25 c/qmgr[8]: x", b""),
        (b"a/b:25/c:25/qmgr[8]: x", b""),
    ],
)
@pytest.mark.parametrize("head", [b"Nov 23 06:28:35 mx1 ", b"<22>2026-11-23T06:28:35Z mx1 "])
def test_what_a_program_says_is_no_program(head: bytes, line: bytes, program: bytes) -> None:
    found = frame_of(head + line)

    assert found is not None
    assert found.program == program


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\0\0\0",
        b" \t\r",
        b"Nov 23 06:28:35 mx1 -- MARK --",
        b"-- Reboot --",
        b"-- Logs begin at Mon 2026-11-23 06:00:00 UTC, end at Mon 2026-11-23 07:00:00 UTC. --",
        b"-- No entries --",
    ],
)
def test_marks_of_the_log_itself_say_nothing(line: bytes) -> None:
    assert says_nothing(line)


@pytest.mark.parametrize("line", [b"Nov 23 06:28:35 mx1 -- x --", b"-- x", b"x -- MARK -- x", b"\0x"])
def test_other_lines_say_something(line: bytes) -> None:
    assert not says_nothing(line)


def test_a_line_without_program_keeps_its_time_and_host_and_all_of_its_text() -> None:
    line = b"Nov 23 06:28:35 mx1 -- MARK --"

    assert frame_of(line) == Frame(b"Nov 23 06:28:35", b"", b"", b"mx1", b"", 0, line)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\r",
        b"hello",
        b"Nov 23",
        b"\0" * 50,
        b"    at org.example.Main",
        b"1 2 3",
        b"<22>",
        b"{",
        b"{}",
        b"[]",
        b'{"log": 1}',
        b'{"log": "\\ud800"}',
        b'{"MESSAGE": "x", "_PID": 3}',
        b"etc/other[42]: x",
        b"postfix/smtpd: x",
        b"dovecot: postfix/smtpd[1]: x",
    ],
)
def test_text_without_a_frame_has_none(line: bytes) -> None:
    assert frame_of(line) is None


_pieces = st.sampled_from(
    [case["line"].encode("latin-1") for case in CASES]
    + [f"Nov 23 06:28:35 mx1 {service}/smtpd[42]: x".encode() for service in LISTENERS]
    + [
        b"AB12CD34EF: client=a[1.2.3.4]",
        b"NOQUEUE: ",
        b"warning: AB12CD34EF: x",
        b"message repeated 2 times: [ x]",
        b"\r",
        b" ",
        b": ",
        b"[ID 1 mail.info] ",
    ]
)
_lines = st.one_of(st.binary(max_size=80), st.lists(_pieces, max_size=4).map(b"".join)).map(
    lambda b: b.replace(b"\n", b"")
)


@given(_lines)
def test_no_bytes_make_it_raise_and_a_text_is_never_invented(line: bytes) -> None:
    found = frame_of(line)

    assert found is None or found.text in line or b"{" in line  # JSON has escapes


@given(st.lists(_lines))
def test_a_block_has_a_row_for_each_line_that_says_what_the_line_alone_says(lines: list[bytes]) -> None:
    rows = rows_of(b"".join(line + b"\n" for line in lines))

    assert [row[0] for row in rows] == lines
    for line, stamp, fraction, zone, origin, text, queue_id in rows:
        if stamp:
            assert frame_of(line) == Frame(stamp, fraction, zone, *origin_of(origin), text)
            assert queue_id == (queue_id_of(text) or b"")


@pytest.mark.parametrize(
    "line",
    [
        b"Nov  3 06:28:35 mx1 postfix/smtpd[42]: x",
        b"Nov 23 06:28:35 mx1.example.org postfix/smtpd[42]: x",
        b"Nov 23 06:28:35 mail.example postfix/smtpd[42]: x",
        b"Nov 23 06:28:35 2001:db8::1 postfix/smtpd[42]: x",
        b"<22>Nov 23 06:28:35.123 mx1 postfix/smtpd: x\r",
        b"2026-11-23T06:28:35.123456+01:00 mx1 out/a/smtpd[42]: x",
        b'<22>1 2026-11-23T06:28:35Z mx1 postfix/smtpd 42 mail [a@1 b="]"] x',
    ],
)
def test_the_common_forms_are_taken_apart_by_the_block(line: bytes) -> None:
    [row] = rows_of(line + b"\n")

    assert row[1]
