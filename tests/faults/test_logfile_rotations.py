"""A log file is renamed, copied and truncated, compressed, deleted under its producer: every line is sent."""

import gzip
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import pytest
from faults.mail_log import log
from faults.produced import Line, Produced, ended, eventually, lines_of, producer, sent_again
from faults.tally import Tally

from journal_postfix.topics import make
from schemas.settings import KafkaSettings, ProducerSettings, Settings

pytestmark = pytest.mark.kafka

LINES_A_ROUND = 1200
MOST_ASIDE = 5


class Rotating:
    """A log that a thread writes to, line by line, as a syslog daemon does, and what logrotate does to it."""

    def __init__(self, settings: Settings, file: Path, tally: Tally) -> None:
        self.settings, self.file, self.chance = settings, file, tally.chance
        self.of_ended: set[Line] = set()
        self.counted = 0
        self.lines = log(0, LINES_A_ROUND // 7 * (tally.rounds + 2)).splitlines(keepends=True)
        self.generations: list[list[bytes]] = [[]]
        """The lines of each file that there was."""
        self.lock = threading.RLock()
        self.ended = threading.Event()
        self.next = 0
        self.stream = file.open("ab", buffering=0)
        self.thread = threading.Thread(target=self._write)

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self.thread.join()
        self.stream.close()

    def _write(self) -> None:
        while not self.ended.wait(0.02):
            with self.lock:
                if not self.ended.is_set():  # it may have been set while this waited for the lock
                    self._append(self.chance.randrange(1, 8))

    def _append(self, count: int) -> None:
        lines = self.lines[self.next : self.next + count]
        self.next += len(lines)
        self.generations[-1] += lines
        self.stream.write(b"".join(lines))

    def put_aside(self) -> Path:
        """Rename what was put aside before, as logrotate does; return where the next one goes."""
        for number in range(MOST_ASIDE, 0, -1):
            for suffix in ("", ".gz"):
                old = self.file.with_name(f"{self.file.name}.{number}{suffix}")
                if old.exists():
                    old.rename(self.file.with_name(f"{self.file.name}.{number + 1}{suffix}"))
        return self.file.with_name(f"{self.file.name}.1")

    def rename(self) -> None:
        """Rename the file; its writer goes on in it until it is told to open it anew."""
        with self.lock:
            self.file.rename(self.put_aside())
        threading.Event().wait(self.chance.uniform(0, 0.4))
        with self.lock:
            self._open_anew()

    def rename_and_compress(self) -> None:
        """Do as `rename`, then compress what was put aside."""
        self.rename()
        aside = self.file.with_name(f"{self.file.name}.1")
        packed = aside.with_name(aside.name + ".gz")
        threading.Event().wait(1.5)  # logrotate's delaycompress waits a day
        packed.write_bytes(gzip.compress(aside.read_bytes()))
        shutil.copystat(aside, packed)
        aside.unlink()

    def copy_and_truncate(self) -> None:
        """Copy the file and cut it to nothing; lines that come between are nobody's, so none do."""
        with self.lock:
            shutil.copy2(self.file, self.put_aside())
            os.truncate(self.file, 0)
            self.generations.append([])
            if self.chance.random() < 0.5:  # it is soon longer than it was
                self._append(600)

    def rename_twice(self) -> None:
        """Rename the file, and soon the one that took its place."""
        self.rename()
        with self.lock:
            self._append(40)
        self.rename()

    def wanted(self) -> set[Line]:
        """Return all lines that are written by now."""
        with self.lock:
            for lines in self.generations[self.counted : -1]:
                self.of_ended |= lines_of(self.settings, b"".join(lines))
            self.counted = len(self.generations) - 1
            return self.of_ended | lines_of(self.settings, b"".join(self.generations[-1]))

    def _open_anew(self) -> None:
        self.stream.close()
        self.generations.append([])
        self.stream = self.file.open("ab", buffering=0)

    def delete(self) -> None:
        """Delete the file, and begin another some time later."""
        with self.lock:
            self.file.unlink()
            threading.Event().wait(self.chance.uniform(0, 0.3))
            self._open_anew()

    def truncate(self) -> None:
        """Cut the file to nothing, without a copy: what was not read by now would be gone."""
        with self.lock:
            os.truncate(self.file, 0)
            self.generations.append([])


@pytest.fixture
def settings(kafka_settings: KafkaSettings) -> Settings:
    settings = Settings(kafka=kafka_settings, producer=ProducerSettings(position_ms=20, host="mx9", timezone="UTC"))
    make(settings)
    return settings


@pytest.fixture
def found(settings: Settings) -> Iterator[Produced]:
    found = Produced(settings)
    yield found
    found.close()


@pytest.mark.fault("log file renamed, copied and truncated, compressed, deleted, truncated", fast=8, long=32)
def test_whatever_becomes_of_the_file_every_line_is_sent(
    settings: Settings, found: Produced, tally: Tally, tmp_path: Path
) -> None:
    said = tmp_path / "said.log"
    with ExitStack() as stack:
        log = stack.enter_context(Rotating(settings, tmp_path / "mail.log", tally))

        def start() -> subprocess.Popen[bytes]:
            return stack.enter_context(producer(settings, said, "logfile", "--follow", log.file))

        running = start()

        def all_sent() -> float:
            """Wait until every line that is written by now is in Kafka; return the seconds."""
            wanted = log.wanted()
            return eventually(lambda: wanted <= found.read().counted().keys(), what=said.read_text()[-3000:])

        def away(fault: Callable[[], None]) -> None:
            """Let it happen while no producer runs."""
            nonlocal running
            running.send_signal(tally.chance.choice([signal.SIGKILL, signal.SIGTERM]))
            running.wait(20)
            fault()
            running = start()

        def quietly(fault: Callable[[], None]) -> None:
            """Let it happen when everything was read: what was not would be lost with the file."""
            with log.lock:
                all_sent()
                fault()

        eventually(log.wanted)
        all_sent()  # a log that was never read is read from its file on, without those put aside before
        faults: list[Callable[[], None]] = [
            log.rename,
            log.copy_and_truncate,
            log.rename_and_compress,
            lambda: away(log.rename),
            lambda: away(log.copy_and_truncate),
            lambda: quietly(log.delete),
            lambda: quietly(log.truncate),
            lambda: away(log.rename_twice),
        ]
        for number in range(tally.rounds):
            threading.Event().wait(tally.chance.uniform(0.1, 0.8))
            faults[number % len(faults)]()
            tally.injected += 1
            tally.recovered(all_sent())
        with log.lock:
            log.ended.set()
            all_sent()
        ended(running)
        assert running.returncode == 0
        tally.compare("log file", dict.fromkeys(found.read().counted()), dict.fromkeys(log.wanted()))
        tally.notes.append(f"{len(log.wanted())} lines; {sent_again(found)} were sent again")
    tally.settle()
