"""Files that are rotated, cut, replaced and damaged while nobody looks, or just then: no line is missing."""

import gzip
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from producers import file_source, following, logfile
from producers.compression import LogText
from producers.file_source import FileSource
from producers.following import _Following
from producers.run import Run
from schemas.errors import ConfigurationError
from schemas.raw import FilePosition, Position, RawBatch
from schemas.settings import ProducerSettings, Settings

SETTINGS = Settings(producer=ProducerSettings(position_ms=10, host="mx9", timezone="UTC"))


def line(number: int) -> bytes:
    minute, second = divmod(number, 60)
    return f"Nov 23 {6 + minute // 60:02}:{minute % 60:02}:{second:02} mx1 postfix/smtpd[7]: {number}\n".encode()


def log(*numbers: int) -> bytes:
    return b"".join(map(line, numbers))


class Host:
    """A log and a producer of it that may be stopped; what it sent and saved stays."""

    partitions = 4

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.log = folder / "mail.log"
        self.sent: set[bytes] = set()
        self.count = 0
        self._now = time.time()
        self.saved: dict[str, Position] = {}
        self._follower: tuple[FileSource, Run, _Following] | None = None
        monkeypatch.setattr(logfile, "begun", self._begun)
        monkeypatch.setattr(following, "QUIET_SECONDS", 0)

    @contextmanager
    def _begun(self, *_: Any) -> Iterator[Run]:
        yield Run(SETTINGS, self, dict(self.saved), None)  # type: ignore[arg-type]

    def send(self, _partition: int, batch: RawBatch) -> None:
        self.sent.update(line.text for line in batch.lines)
        self.count += len(batch.lines)

    def mark(self, source: str, position: Position) -> None:
        self.saved[source] = position

    def serve(self, _wait: float = 0) -> None:
        """Do as a Publisher."""

    def put(self, name: str, content: bytes, *, age: float = 0) -> Path:
        path = self.log.parent / name
        path.write_bytes(content)
        self._date(path, age)
        return path

    def append(self, *numbers: int) -> None:
        with self.log.open("ab") as file:
            file.write(log(*numbers))
        self._date(self.log)

    def truncate(self, size: int = 0) -> None:
        os.truncate(self.log, size)
        self._date(self.log)

    def _date(self, path: Path, age: float = 0) -> None:
        """Give *path* a time of its own: those of the file system may be the same for some milliseconds."""
        self._now += 0.001
        os.utime(path, (self._now - age,) * 2)

    def run(self, **options: Any) -> None:
        """Read to the end, in a process of its own as it were."""
        logfile.run(SETTINGS, [self.log], stop=threading.Event(), **options)

    def follow(self, rounds: int = 12) -> None:
        """Follow, or go on following, until there is nothing new."""
        if self._follower is None:
            reading = logfile._Reading(SETTINGS, [self.log], follow=True, year=2026, stop=threading.Event())
            run = Run(SETTINGS, self, dict(self.saved), None)  # type: ignore[arg-type]
            reading.to_the_ends(run)
            self._follower = (reading.sources[0], run, _Following(reading.sources[0]))
        source, run, one = self._follower
        for _ in range(rounds):
            one.step()
            source.channel.batching.close_all()

    def stop(self) -> None:
        assert self._follower is not None
        source = self._follower[0]
        source.channel.mark()
        source.close()
        self._follower = None

    def missing(self, last: int) -> list[int]:
        return [number for number in range(last + 1) if str(number).encode() not in self.sent]


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    host = Host(tmp_path, monkeypatch)
    yield host
    if host._follower is not None:
        host.stop()


@pytest.mark.parametrize("follow", [False, True])
@pytest.mark.parametrize("compress", [False, True])
def test_a_rotation_while_rotated_files_are_caught_up_with(
    host: Host, monkeypatch: pytest.MonkeyPatch, *, follow: bool, compress: bool
) -> None:
    host.put("mail.log", log(*range(10)))
    host.run()
    host.append(*range(10, 20))
    folder = host.log.parent
    host.log.rename(folder / "mail.log.1")
    host.put("mail.log", log(*range(20, 30)))
    read, rotated = FileSource.read, []

    def rotating(source: FileSource) -> bool:
        if not rotated:
            rotated.append(True)
            (folder / "mail.log.1").rename(folder / "mail.log.2")
            if compress:
                (folder / "mail.log.1.gz").write_bytes(gzip.compress(host.log.read_bytes()))
                host.log.unlink()
            else:
                host.log.rename(folder / "mail.log.1")
            host.put("mail.log", log(*range(30, 40)))
        return read(source)

    monkeypatch.setattr(FileSource, "read", rotating)
    if follow:
        host.follow()
    else:
        host.run()

    assert host.missing(39) == []
    assert host.count == 40


def test_a_compressed_copy_that_is_shorter_than_what_was_read_silences_nobody(host: Host) -> None:
    host.put("mail.log", log(*range(10)))
    host.follow()
    host.put("mail.log.1.gz", gzip.compress(log(*range(8))))
    host.truncate()
    host.follow()
    host.append(*range(10, 15))
    host.follow()

    assert host.missing(14) == []
    host.stop()
    host.append(*range(15, 20))
    host.run()
    assert host.missing(19) == []


def test_a_run_begins_although_the_copy_of_the_log_is_shorter_than_what_was_read(host: Host) -> None:
    host.put("mail.log", log(*range(10)))
    host.run()
    host.put("mail.log.1.gz", gzip.compress(log(*range(8))))
    host.put("mail.log", log(*range(10, 15)))
    host.run()

    assert host.missing(14) == []


def test_a_stop_while_the_new_file_is_still_empty(host: Host) -> None:
    folder = host.log.parent
    host.put("mail.log", log(*range(10)))
    host.follow()
    shutil.copy2(host.log, folder / "mail.log.1")
    host.truncate()
    host.follow()
    host.stop()
    [position] = host.saved.values()
    assert isinstance(position, FilePosition)
    assert position.head_length == len(log(*range(10)))
    host.append(*range(10, 20))
    shutil.copy2(folder / "mail.log.1", folder / "mail.log.2")
    shutil.copy2(host.log, folder / "mail.log.1")
    host.put("mail.log", log(*range(20, 25)))
    host.run()

    assert host.missing(24) == []
    assert host.count == 25


def test_a_log_that_was_empty_and_rotated_before_it_was_read_again(host: Host) -> None:
    host.put("mail.log.2", log(100, 101), age=60)
    host.put("mail.log", b"")
    host.follow()
    host.stop()
    host.append(*range(10))
    host.log.rename(host.log.parent / "mail.log.1")
    host.put("mail.log", log(*range(10, 15)))
    host.run()

    assert host.missing(14) == []
    assert host.count == 15, "what lay there before the first run is not read"


def test_a_log_that_lost_its_end_in_a_crash_and_grew_again(host: Host) -> None:
    host.put("mail.log", log(*range(100)))
    host.run()
    host.truncate(len(log(*range(90))))
    host.append(*range(100, 120))
    host.run()

    assert host.missing(119) == []


def test_all_that_was_written_since_is_read_where_the_file_that_was_read_is_gone(host: Host) -> None:
    host.put("mail.log.3", log(100, 101), age=7200)
    host.put("mail.log", log(*range(10)), age=3600)
    host.run()
    host.put("mail.log.2.gz", gzip.compress(log(*range(10, 20))), age=1800)
    host.put("mail.log.1", log(*range(20, 30)))
    host.put("mail.log", log(*range(30, 35)))
    host.run()

    assert host.missing(34) == []
    assert host.count == 35, "what is older is not read again"


def test_a_file_that_cannot_be_opened_for_a_moment_is_not_left_out(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.put("mail.log", log(*range(10)))
    host.follow()
    host.append(*range(10, 15))
    shutil.copy2(host.log, host.log.parent / "mail.log.1")
    host.truncate()
    failures = [OSError(24, "Too many open files")]

    def opened(path: Path) -> LogText:
        if path.name == "mail.log.1" and failures:
            raise failures.pop()
        return LogText(path)

    monkeypatch.setattr(file_source, "LogText", opened)
    host.follow()
    host.append(*range(15, 20))
    host.follow()

    assert not failures
    assert host.missing(19) == []


def test_a_log_that_is_a_link_is_rotated_beside_what_it_stands_for(host: Host) -> None:
    real = host.log.parent / "real"
    real.mkdir()
    (real / "mail.log").write_bytes(log(*range(10)))
    host.log.symlink_to(real / "mail.log")
    host.run()
    host.append(*range(10, 20))
    (real / "mail.log").rename(real / "mail.log.1")
    (real / "mail.log").write_bytes(log(*range(20, 30)))
    host.run()

    assert host.missing(29) == []
    assert host.count == 30


def test_a_link_that_is_switched_to_a_dated_file_while_its_last_line_is_being_written(host: Host) -> None:
    first = host.put("mail.log-20261122", log(*range(10)))
    host.log.symlink_to(first)
    host.follow()
    second = host.put("mail.log-20261123", log(10, 11) + line(12)[:-4])
    host.log.unlink()
    host.log.symlink_to(second)
    host.follow()
    with second.open("ab") as file:
        file.write(line(12)[-4:] + line(13))
    host.follow()

    assert host.missing(13) == []
    assert host.count == 14


@pytest.mark.parametrize("follow", [False, True])
def test_a_copy_that_is_just_being_compressed_counts_once(host: Host, *, follow: bool) -> None:
    host.put("mail.log", log(*range(5)), age=30)
    host.run()
    host.log.rename(host.log.parent / "mail.log.3")
    host.put("mail.log.2", log(*range(5, 3000)), age=20)
    host.put("mail.log.2.gz", gzip.compress(log(*range(5, 3000)))[:4000], age=19)
    host.put("mail.log.1", log(*range(3000, 3005)), age=10)
    host.put("mail.log", log(*range(3005, 3010)))
    host.follow() if follow else host.run()

    assert host.missing(3009) == []
    assert host.count == 3010


def test_who_follows_a_log_reads_on_behind_a_damaged_file(host: Host) -> None:
    host.put("mail.log", log(*range(5)), age=30)
    host.run()
    host.log.rename(host.log.parent / "mail.log.2")
    host.put("mail.log.1.gz", gzip.compress(log(*range(5, 3000)))[:4000], age=10)
    host.put("mail.log", log(*range(3000, 3005)))
    with pytest.raises(ConfigurationError, match="cannot be read to its end"):
        host.run()
    host.follow()
    host.append(3005)
    host.follow()

    assert [number for number in range(3000, 3006) if str(number).encode() not in host.sent] == []


@pytest.mark.parametrize("size", [9, 70_000, 1_000_000])
@pytest.mark.parametrize("before", [b"", log(0, 1)])
def test_nuls_that_a_truncation_left_cost_no_line(host: Host, before: bytes, size: int) -> None:
    host.put("mail.log", before + b"\0" * size + log(2, 3, 4))
    host.run()

    assert {b"2", b"3", b"4"} <= host.sent
    [position] = host.saved.values()
    assert isinstance(position, FilePosition)
    assert (position.offset, position.dead) == (host.log.stat().st_size, 0)
    host.append(5)
    host.run()
    assert b"5" in host.sent


def _renamed(host: Host, number: int) -> None:
    for old in range(number, 0, -1):
        if (path := host.log.parent / f"mail.log.{old}").exists():
            path.rename(host.log.parent / f"mail.log.{old + 1}")
    host.log.rename(host.log.parent / "mail.log.1")
    host.append()


def _copied(host: Host, number: int) -> None:
    for old in range(number, 0, -1):
        if (path := host.log.parent / f"mail.log.{old}").exists():
            path.rename(host.log.parent / f"mail.log.{old + 1}")
    shutil.copy2(host.log, host.log.parent / "mail.log.1")
    host.truncate()


@pytest.mark.parametrize("rotate", [_renamed, _copied])
@pytest.mark.parametrize("seed", range(100))
def test_any_history_of_lines_rotations_and_stops(host: Host, rotate: Callable[[Host, int], None], seed: int) -> None:
    import random  # noqa: PLC0415 - this test's alone

    dice, written, rotations = random.Random(seed), 0, 0
    host.append()
    host.follow()
    for _ in range(25):
        match dice.randrange(6):
            case 0 if host.log.stat().st_size:
                rotations += 1
                rotate(host, rotations)
            case 1 if host._follower is not None:
                host.stop()
            case 2 | 3:
                host.follow()
            case _:
                more = dice.randrange(1, 4)
                host.append(*range(written, written + more))
                written += more
    host.append(written)
    host.follow()

    assert host.missing(written) == []
