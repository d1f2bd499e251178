"""A followed log file against a real broker: growth and every way of rotating it."""

import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from producers import logfile
from producers.following import QUIET_SECONDS
from schemas.settings import Settings

pytestmark = pytest.mark.kafka


def log(*numbers: int) -> bytes:
    return b"".join(b"Nov 23 06:%02d:%02d mx1 postfix/smtpd[7]: A%09X: x\n" % (*divmod(n, 60), n) for n in numbers)


def texts(*numbers: int) -> list[bytes]:
    return [b"A%09X: x" % number for number in numbers]


@pytest.fixture
def file(tmp_path: Path) -> Any:
    return tmp_path / "mail.log"


@pytest.fixture
def follow(settings: Settings, written: Any, background: Any, eventually: Any, file: Path) -> Any:
    """Start following; return a function that waits until lines up to a number were sent."""
    background.start(lambda stop: logfile.run(settings, [file], follow=True, stop=stop))

    def up_to(number: int) -> None:
        eventually(lambda: len(written.texts()) >= number)
        assert written.texts() == texts(*range(number))

    return up_to


def append(file: Path, data: bytes) -> None:
    with file.open("ab") as stream:
        stream.write(data)


def test_a_file_that_is_not_there_yet_is_waited_for(follow: Any, background: Any, file: Path, written: Any) -> None:
    append(file, log(*range(3)))
    follow(3)

    summary = background.join()

    assert summary.sent == 3
    assert written.positions()[-1].position.offset == file.stat().st_size


def test_a_line_is_sent_once_its_end_is_written(follow: Any, background: Any, file: Path, written: Any) -> None:
    data = log(*range(4))
    append(file, data[:-10])
    follow(3)
    append(file, data[-10:])
    follow(4)

    background.join()

    assert written.positions()[-1].position.offset == len(data)


def test_renaming_loses_nothing_of_a_writer_that_lets_go_late(follow: Any, file: Path, tmp_path: Path) -> None:
    with file.open("ab", buffering=0) as late:
        late.write(log(0, 1))
        follow(2)
        file.rename(tmp_path / "mail.log.1")
        file.touch()
        threading.Event().wait(1.5 * QUIET_SECONDS)
        late.write(log(2))
        follow(3)
    append(file, log(3))
    follow(4)


def test_two_rotations_in_a_moment_lose_nothing(follow: Any, file: Path, tmp_path: Path) -> None:
    append(file, log(0, 1))
    follow(2)
    append(file, log(2))
    file.rename(tmp_path / "mail.log.2")
    (tmp_path / "mail.log.1").write_bytes(log(3, 4))
    append(file, log(5))

    follow(6)


def test_copying_and_truncating_loses_nothing_that_was_copied(follow: Any, file: Path, tmp_path: Path) -> None:
    append(file, log(0, 1))
    follow(2)
    append(file, log(2))
    shutil.copyfile(file, tmp_path / "mail.log.1")
    with file.open("r+b") as stream:
        stream.truncate(0)
    append(file, log(3))

    follow(4)


def test_truncating_is_noticed_when_the_file_is_longer_than_before_at_once(follow: Any, file: Path) -> None:
    append(file, log(0, 1))
    follow(2)
    with file.open("r+b") as stream:
        stream.truncate(0)
        stream.write(log(*range(2, 9)))

    follow(9)


def test_deletion_and_coming_back_is_followed(follow: Any, file: Path) -> None:
    append(file, log(0, 1))
    follow(2)
    file.unlink()
    append(file, log(2, 3))

    follow(4)


def test_files_that_are_followed_together_all_grow(
    settings: Settings, written: Any, background: Any, eventually: Any, tmp_path: Path
) -> None:
    first, second = tmp_path / "one.log", tmp_path / "two.log"
    append(first, log(0))
    append(second, log(1))
    background.start(lambda stop: logfile.run(settings, [first, second], follow=True, stop=stop))
    eventually(lambda: len(written.texts()) == 2)

    append(first, log(2))
    append(second, log(3))

    eventually(lambda: len(written.texts()) == 4)
    assert written.texts() == texts(*range(4))


def test_following_goes_on_where_it_was_stopped_across_a_rotation(  # noqa: PLR0917 - fixtures
    settings: Settings, written: Any, background: Any, eventually: Any, file: Path, tmp_path: Path
) -> None:
    append(file, log(0, 1))
    logfile.run(settings, [file], stop=background.stop)
    append(file, log(2))
    file.rename(tmp_path / "mail.log.1")
    append(file, log(3))

    background.start(lambda stop: logfile.run(settings, [file], follow=True, stop=stop))

    eventually(lambda: len(written.texts()) == 4)
    assert written.texts() == texts(*range(4))
    assert background.join().sent == 2
