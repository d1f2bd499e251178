"""The systemd journal against a real broker. Its files are made by systemd-journal-remote."""

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from producers import journal
from schemas.errors import ConfigurationError
from schemas.settings import Settings

pytestmark = [pytest.mark.kafka, pytest.mark.journald]

MAKER = shutil.which("systemd-journal-remote", path="/usr/lib/systemd:/lib/systemd")
START = 1_763_880_000_000_000
SECOND = 1_000_000


def entry(number: int, text: bytes = b"", /, at: int | None = None, **fields: str) -> bytes:
    """Return one entry in export format, *number* seconds after START."""
    time = START + number * SECOND if at is None else at
    values = {
        "__CURSOR": "x",
        "__REALTIME_TIMESTAMP": str(time),
        "__MONOTONIC_TIMESTAMP": str(time - START + 1),
        "_BOOT_ID": "0123456789abcdef0123456789abcdef",
        "_MACHINE_ID": "abcdef0123456789abcdef0123456789",
        "PRIORITY": "6",
        "_HOSTNAME": "mx1",
        "SYSLOG_IDENTIFIER": "postfix/smtpd",
        "_PID": "77",
        **fields,
    }
    text = text or text_of(number)
    message = b"MESSAGE\n" + len(text).to_bytes(8, "little") + text
    return "\n".join(f"{name}={value}" for name, value in values.items() if value).encode() + b"\n" + message + b"\n\n"


def text_of(number: int) -> bytes:
    return b"A%09X: client=a[1.2.3.4]" % number


def texts(*numbers: int) -> list[bytes]:
    return [text_of(number) for number in numbers]


@pytest.fixture
def make(tmp_path: Path) -> Any:
    """Give a function that makes a journal file of entries, in the folder ``journal``."""
    if MAKER is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no systemd-journal-remote: apt-get install systemd-journal-remote")
        pytest.skip("no systemd-journal-remote")
    folder = tmp_path / "journal"
    folder.mkdir()

    def write(name: str, *entries: bytes) -> Path:
        file = folder / f"{name}.journal"
        made = tmp_path / f"{name}.journal"
        subprocess.run([MAKER, "-o", made, "-"], input=b"".join(entries), check=True, capture_output=True)
        made.rename(file)
        return file

    write.folder = folder  # type: ignore[attr-defined]
    return write


def read(settings: Settings, make: Any, **options: Any) -> Any:
    return journal.run(settings, directory=make.folder, stop=threading.Event(), **options)


def test_a_journal_is_read_to_its_end_and_then_on_from_there(settings: Settings, written: Any, make: Any) -> None:
    make("a", *map(entry, range(500)))
    first = read(settings, make)
    make("b", *map(entry, range(500, 520)))

    second = read(settings, make)

    assert written.texts() == texts(*range(520))
    assert (first.sent, second.sent, second.skipped) == (500, 20, 500)
    [raw] = [raw for raw in written.lines() if raw.text == text_of(3)]
    assert (raw.time, raw.program, raw.pid) == (START + 3 * SECOND, "postfix/smtpd", 77)


def test_units_identifiers_and_queue_ids_say_what_is_taken_and_debug_is_left_out(
    settings: Settings, written: Any, make: Any
) -> None:
    make(
        "a",
        entry(1),
        entry(2, b"by identifier", SYSLOG_IDENTIFIER="postfix-out/qmgr"),
        entry(3, b"by daemon", SYSLOG_IDENTIFIER="relay/qmgr"),
        entry(4, b"by unit", SYSLOG_IDENTIFIER="wrapper", _SYSTEMD_UNIT="postfix@out.service"),
        entry(5, b"AB12CD34EF: by queue id", SYSLOG_IDENTIFIER="opendkim"),
        entry(6, b"foreign", SYSLOG_IDENTIFIER="sshd", _SYSTEMD_UNIT="ssh.service"),
        entry(7, b"foreign", SYSLOG_IDENTIFIER=""),
        entry(8, b"debug", PRIORITY="7"),
        entry(9, b"warning", PRIORITY="4"),
    )

    summary = read(settings, make)

    assert written.texts() == [
        text_of(1), b"by identifier", b"by daemon", b"by unit", b"AB12CD34EF: by queue id", b"warning",
    ]  # fmt: skip
    assert (summary.lines, summary.sent, summary.ignored) == (9, 6, 3)


def test_odd_bytes_and_several_hosts_survive(settings: Settings, written: Any, make: Any) -> None:
    make(
        "a", entry(1, b"A1B2C3D4E5: \xff\x00\n\xc3\xa9"), entry(2, _HOSTNAME="mx2.example.org"), entry(3, _HOSTNAME="")
    )

    read(settings, make)

    assert written.texts()[0] == b"A1B2C3D4E5: \xff\x00\n\xc3\xa9"
    assert {batch.host for _, batch in written.batches()} == {"mx1", "mx2.example.org", "mx9"}


def test_reading_begins_where_it_is_told_to(settings: Settings, written: Any, make: Any) -> None:
    make("a", *map(entry, range(100)))

    summary = read(settings, make, since="2025-11-23T06:41:00Z")

    assert written.texts() == texts(*range(60, 100))
    assert summary.sent == 40


def test_reading_begins_after_a_cursor_that_is_given(settings: Settings, written: Any, make: Any) -> None:
    make("a", *map(entry, range(10)))
    read(settings, make)
    cursor = written.batches()[-1][1].position.cursor
    make("b", entry(10))

    read(settings, make, cursor=cursor)

    assert text_of(10) in written.texts()
    with pytest.raises(ConfigurationError, match="is not a journal cursor"):
        read(settings, make, cursor="nonsense")


def test_the_time_is_the_way_back_when_the_cursor_was_vacuumed(settings: Settings, written: Any, make: Any) -> None:
    old = make("a", *map(entry, range(10)))
    read(settings, make)
    old.unlink()
    make("b", *map(entry, range(5, 15)))

    read(settings, make)

    assert written.texts() == texts(*range(9), 9, 9, *range(10, 15))


def test_a_position_beyond_the_journals_end_loses_nothing(settings: Settings, written: Any, make: Any) -> None:
    old = make("a", *map(entry, range(100, 110)))
    read(settings, make)
    old.unlink()
    make("b", *map(entry, range(10)))

    read(settings, make)

    assert written.texts() == texts(*range(10), *range(100, 110))


def test_identical_lines_of_a_moment_are_numbered_alike_after_stopping_amid_them(
    settings: Settings, written: Any, make: Any
) -> None:
    reject = b"NOQUEUE: reject: RCPT from a[1.2.3.4]: 450"
    rejects = [entry(0, reject, at=START + 5 * SECOND, __MONOTONIC_TIMESTAMP=str(5 * SECOND + n)) for n in range(5)]
    make("a", entry(1), *rejects[:3])
    read(settings, make)
    make("b", *rejects[3:], entry(9))

    read(settings, make)

    assert [raw.number for raw in written.lines()] == [0, 0, 1, 2, 3, 4, 0]


def test_identical_lines_of_a_moment_are_numbered_alike_after_the_second_began_in_a_file_that_is_gone(
    settings: Settings, written: Any, make: Any
) -> None:
    reject = b"NOQUEUE: reject: RCPT from a[1.2.3.4]: 450"
    at = START + 5 * SECOND
    rejects = [entry(0, reject, at=at + 9, __MONOTONIC_TIMESTAMP=str(5 * SECOND + n)) for n in range(5)]
    old = make("a", entry(0, b"connect", at=at))
    make("b", *rejects[:3])
    read(settings, make)
    old.unlink()
    make("c", *rejects[3:])

    read(settings, make)

    assert [raw.number for raw in written.lines()] == [0, 0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda data: b"garbage!" + data[8:], "does not begin as a journal file does"),
        (lambda data: data[:5000], "cut off: 5000 bytes of"),
        (lambda _: b"", "it is cut off"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_and_the_others_are_read(
    settings: Settings, written: Any, make: Any, damage: Any, reason: str
) -> None:
    make("a", *map(entry, range(5)))
    bad = make("b", *map(entry, range(5, 10)))
    make("c", *map(entry, range(10, 15)))
    bad.write_bytes(damage(bad.read_bytes()))

    with capture_logs() as said:
        read(settings, make)

    assert written.texts() == texts(*range(5), *range(10, 15))
    [warning] = said
    assert warning["file"] == str(bad)
    assert reason in warning["reason"]


def test_a_followed_journal_survives_rotation_and_vacuuming(
    settings: Settings, written: Any, make: Any, background: Any, eventually: Any
) -> None:
    first = make("a", *map(entry, range(10)))
    background.start(lambda stop: journal.run(settings, directory=make.folder, follow=True, stop=stop))
    eventually(lambda: len(written.texts()) == 10)

    make("b", *map(entry, range(10, 20)))
    eventually(lambda: len(written.texts()) == 20)
    first.unlink()
    make("c", *map(entry, range(20, 30)))
    eventually(lambda: len(written.texts()) == 30)
    summary = background.join()

    assert written.texts() == texts(*range(30))
    assert summary.sent == 30
    assert written.positions()[-1].position.lines == 30


def test_a_message_that_is_too_long_becomes_a_dead_letter(settings: Settings, written: Any, make: Any) -> None:
    make("a", entry(1), entry(2, b"x" * 100_000), entry(3))

    summary = read(settings, make)

    assert written.texts() == texts(1, 3)
    [letter] = written.dead_letters()
    assert (letter.length, summary.dead) == (100_000, 1)


def test_a_line_has_the_time_at_which_it_was_logged_not_that_at_which_a_busy_journald_received_it(
    settings: Settings, written: Any, make: Any
) -> None:
    told = {
        "no time": "",
        "a little before": str(START + 2 * SECOND - 800_000),
        "the same time": str(START + 3 * SECOND),
        "a later time": str(START + 4 * SECOND + 1),
        "another day": str(START - 86_400 * SECOND),
        "no number": "yesterday",
        "more than a number": "9" * 5000,
    }
    entries = [
        entry(number, text.encode(), _SOURCE_REALTIME_TIMESTAMP=value)
        for number, (text, value) in enumerate(told.items(), start=1)
    ]
    make("a", *entries)

    read(settings, make)

    found = {line.text.decode(): line.time - START for line in written.lines()}
    usual = {text: number * SECOND for number, text in enumerate(told, start=1)}
    assert found == {**usual, "a little before": 2 * SECOND - 800_000}


def test_names_and_process_ids_that_are_none_stop_nobody(settings: Settings, written: Any, make: Any) -> None:
    long = b"x" * 300_000
    odd = [
        entry(2, b"AB12CD34EF: long", SYSLOG_IDENTIFIER=long.decode()),
        entry(3, b"AB12CD34EF: digits", _PID="", SYSLOG_PID="9" * 5000),
        entry(4, b"AB12CD34EF: many", _PID="", SYSLOG_PID="9" * 20),
    ]
    make("a", entry(1), *odd, entry(5))

    read(settings, make)

    found = written.lines()
    assert [line.text for line in found] == [text_of(1), b"AB12CD34EF: long", b"AB12CD34EF: digits",
                                             b"AB12CD34EF: many", text_of(5)]  # fmt: skip
    assert [line.pid for line in found] == [77, 77, 0, 0, 77]
    assert max(len(line.program) for line in found) == 128


def test_an_empty_journal_is_an_error_that_says_what_it_may_be(settings: Settings, make: Any) -> None:
    with pytest.raises(ConfigurationError, match="is it empty, or is this user not in the group systemd-journal"):
        read(settings, make)


def test_without_systemd_python_the_error_says_how_to_get_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "systemd", None)

    with pytest.raises(ConfigurationError, match=r"pip install 'journal-postfix\[journal\]'.*libsystemd"):
        journal.run(settings, stop=threading.Event())
