"""The frame of a line, in every form that mail hosts write."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.frames import Frame, frame_of, origin_of, rows_of
from schemas.keys import queue_id_of

TEXT = b"AB12CD34EF: client=a[1.2.3.4]"
BSD = b"Nov 23 06:28:35"
ISO = b"2026-11-23T06:28:35"


def frame(stamp: bytes, fraction: bytes = b"", zone: bytes = b"", **named: Any) -> Frame:
    """Return the frame of one line of smtpd, but for what is named."""
    return Frame(
        stamp, fraction, zone, **{"host": b"mx1", "program": b"postfix/smtpd", "pid": 42, "text": TEXT, **named}
    )


TAG = b"postfix/smtpd[42]: "

FRAMES: dict[str, tuple[bytes, Any]] = {
    "traditional": (BSD + b" mx1 " + TAG, frame(BSD)),
    "one-digit day": (b"Nov  3 06:28:35 mx1 " + TAG, frame(b"Nov  3 06:28:35")),
    "host with domain": (BSD + b" mx1.example.org " + TAG, frame(BSD, host=b"mx1.example.org")),
    "IPv6 host": (BSD + b" 2001:db8::1 " + TAG, frame(BSD, host=b"2001:db8::1")),
    "no pid": (BSD + b" mx1 postfix/smtpd: ", frame(BSD, pid=0)),
    "no host": (BSD + b" " + TAG, frame(BSD, host=b"")),
    "service in the name": (BSD + b" mx1 out/a/smtpd[42]: ", frame(BSD, program=b"out/a/smtpd")),
    "with priority": (b"<22>" + BSD + b" mx1 " + TAG, frame(BSD)),
    "journalctl -o short-precise": (BSD + b".123456 mx1 " + TAG, frame(BSD, b"123456")),
    "RFC 3339": (ISO + b".123456+01:00 mx1 " + TAG, frame(ISO, b"123456", b"+01:00")),
    "RFC 3339, UTC, no fraction": (ISO + b"Z mx1 " + TAG, frame(ISO, b"", b"Z")),
    "short-iso": (ISO + b"-0530 mx1 " + TAG, frame(ISO, b"", b"-0530")),
    "RFC 3339 with priority": (b"<22>" + ISO + b"Z mx1 " + TAG, frame(ISO, b"", b"Z")),
    "RFC 5424": (b"<22>1 " + ISO + b".5Z mx1 postfix/smtpd 42 - - ", frame(ISO, b"5", b"Z")),
    "RFC 5424 without priority": (b"1 " + ISO + b"Z mx1 postfix/smtpd 42 - - ", frame(ISO, b"", b"Z")),
    "RFC 5424, too short": (b"<22>1 " + ISO + b"Z mx1 postfix/smtpd 42 - ", None),
    "RFC 5424 with data": (
        b"<22>1 " + ISO + b'Z mx1 postfix/smtpd 42 mail [a@1 b="x\\"]y"][c d="e"] ',
        frame(ISO, b"", b"Z"),
    ),
    "RFC 5424 with byte order mark": (
        b"<22>1 " + ISO + b"Z mx1 postfix/smtpd 42 - - \xef\xbb\xbf",
        frame(ISO, b"", b"Z"),
    ),
    "RFC 5424 with two spaces": (b"<22>1 " + ISO + b"Z mx1 postfix/smtpd 42 - -  ", frame(ISO, b"", b"Z")),
    "RFC 5424 of nobody": (b"<22>1 " + ISO + b"Z - - - - - ", frame(ISO, b"", b"Z", host=b"", program=b"", pid=0)),
    "RFC 5424 without time": (b"<22>1 - mx1 postfix/smtpd 42 - - ", frame(b"")),
    "RFC 5424 with a process name": (b"1 " + ISO + b"Z mx1 postfix/smtpd main - - ", frame(ISO, b"", b"Z", pid=0)),
    "Solaris": (BSD + b" mx1 " + TAG + b"[ID 197553 mail.info] ", frame(BSD)),
    "FreeBSD": (BSD + b" <mail.info> mx1 " + TAG, frame(BSD)),
    "odd bytes in the host": (BSD + b" m\xc3\xbcx " + TAG, frame(BSD, host=b"m\xc3\xbcx")),
}


@pytest.mark.parametrize("end", [b"", b"\r"])
@pytest.mark.parametrize("name", FRAMES)
def test_every_form_of_frame_is_taken_off(name: str, end: bytes) -> None:
    framed, expected = FRAMES[name]

    assert frame_of(framed + TEXT + end) == expected


@pytest.mark.parametrize(
    ("line", "text", "times"),
    [
        (b"Nov 23 06:28:35 mx1 postfix/smtpd[42]: message repeated 3 times: [ lost connection]", b"lost connection", 3),
        (b"Nov 23 06:28:35 mx1 postfix/smtpd[42]: message repeated 3 times: [x]]", b"x]", 3),
        (
            b"Nov 23 06:28:35 mx1 postfix/smtpd[42]: message repeated 0 times: [ x]",
            b"message repeated 0 times: [ x]",
            1,
        ),
        (
            b"Nov 23 06:28:35 mx1 postfix/smtpd[42]: message repeated 99999999 times: [ x]",
            b"message repeated 99999999 times: [ x]",
            1,
        ),
    ],
)
def test_a_repeated_message_stands_for_as_many_lines_within_reason(line: bytes, text: bytes, times: int) -> None:
    found = frame_of(line)

    assert found is not None
    assert (found.text, found.times) == (text, times)


@pytest.mark.parametrize(
    "line", [b"Nov 23 06:28:35 mx1 -- MARK --", b"Nov 23 06:28:35 mx1 last message repeated 2 times"]
)
def test_a_line_without_program_keeps_its_time_and_host_and_all_of_its_text(line: bytes) -> None:
    assert frame_of(line) == Frame(BSD, b"", b"", b"mx1", b"", 0, line)


@pytest.mark.parametrize(
    "line", [b"", b"\r", b"hello", b"Nov 23", b"\0" * 50, b"    at org.example.Main", b"1 2 3", b"<22>"]
)
def test_text_without_a_frame_has_none(line: bytes) -> None:
    assert frame_of(line) is None


_pieces = st.sampled_from(
    [framed for framed, _ in FRAMES.values()]
    + [
        TEXT,
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

    assert found is None or found.text in line


@given(st.lists(_lines))
def test_a_block_has_a_row_for_each_line_that_says_what_the_line_alone_says(lines: list[bytes]) -> None:
    rows = rows_of(b"".join(line + b"\n" for line in lines))

    assert [row[0] for row in rows] == lines
    for line, stamp, fraction, zone, origin, text, queue_id in rows:
        if stamp:
            assert frame_of(line) == Frame(stamp, fraction, zone, *origin_of(origin), text)
            assert queue_id == (queue_id_of(text) or b"")


@pytest.mark.parametrize("name", FRAMES)
def test_the_common_forms_are_taken_apart_by_the_block(name: str) -> None:
    framed, _ = FRAMES[name]
    [row] = rows_of(framed + TEXT + b"\n")

    by_line = re.search("no host|Solaris|FreeBSD|too short|byte order|without time", name)
    assert bool(row[1]) == (by_line is None)
