"""A pipe against a real broker."""

import io
import os
import threading
from typing import Any

import pytest

from producers import stdin
from schemas.errors import ConfigurationError
from schemas.raw import StreamPosition
from schemas.settings import Settings

pytestmark = pytest.mark.kafka

LINE = b"Nov 23 06:28:35 mx1 postfix/smtpd[7]: A1B2C3D4%02X: x\n"


def test_a_pipe_is_read_to_its_end_and_counted_over_all_runs(settings: Settings, written: Any) -> None:
    for _ in range(2):
        stream = io.BytesIO(b"".join(LINE % n for n in range(30)) + b"Nov 23 06:28:36 mx1 cron[1]: x")
        summary = stdin.run(settings, stream, stop=threading.Event())
        assert (summary.lines, summary.sent, summary.ignored) == (31, 30, 1)

    assert len(written.lines()) == 60
    last = written.positions()[-1]
    assert (last.source, last.position) == ("mx9:stdin", StreamPosition(lines=62, ignored=2))


def test_lines_of_a_slow_pipe_are_sent_as_they_come(
    settings: Settings, written: Any, background: Any, eventually: Any
) -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb", 0) as stream, os.fdopen(writing, "wb", 0) as pipe:
        background.start(lambda stop: stdin.run(settings, stream, stop=stop))
        pipe.write(LINE % 1)
        eventually(lambda: len(written.lines()) == 1)
        pipe.write((LINE % 2)[:-1])
        pipe.close()
        summary = background.ended()

    assert summary.sent == 2
    assert len(written.lines()) == 2


def test_a_pipe_that_says_nothing_can_be_stopped(
    settings: Settings, written: Any, background: Any, eventually: Any
) -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb", 0) as stream, os.fdopen(writing, "wb", 0) as pipe:
        background.start(lambda stop: stdin.run(settings, stream, stop=stop))
        pipe.write(LINE % 1)
        eventually(lambda: len(written.lines()) == 1)
        assert background.join().sent == 1


def test_another_programs_lines_are_an_error(settings: Settings) -> None:
    with pytest.raises(ConfigurationError, match="no Postfix line among 1 lines of standard input"):
        stdin.run(settings, io.BytesIO(b"Nov 23 06:28:36 mx1 cron[1]: x\n"), stop=threading.Event())
