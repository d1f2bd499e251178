"""Producers of a growing log file are killed, doubled and stopped amid it: every line is there, and none else."""

import secrets
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from faults.mail_log import log
from faults.produced import Produced, compare, ended, eventually, lines_of, producer, sent_again
from faults.tally import Tally

from journal_postfix.topics import make
from producers import logfile
from schemas.raw import FilePosition
from schemas.settings import KafkaSettings, ProducerSettings, Settings

pytestmark = pytest.mark.kafka

BYTES_AT_ONCE = 4_000
PAUSE = 0.05
MESSAGES_A_ROUND = 500


class Growing:
    """A log that grows while producers come and go."""

    def __init__(self, settings: Settings, folder: Path, tally: Tally) -> None:
        self.settings, self.file, self.said = settings, folder / "mail.log", folder / "said.log"
        self.chance = tally.chance
        self.content = log(0, MESSAGES_A_ROUND * (tally.rounds + 1))
        self.written = 0
        self.found = Produced(settings)
        self.grow(0.1)

    def grow(self, seconds: float) -> None:
        """Append for *seconds*; lines are cut anywhere."""
        assert self.written < len(self.content), "the log is at its end"
        with self.file.open("ab") as stream:
            for _ in range(max(1, int(seconds / PAUSE))):
                size = self.chance.randrange(1, 2 * BYTES_AT_ONCE)
                stream.write(self.content[self.written : self.written + size])
                stream.flush()
                self.written = min(self.written + size, len(self.content))
                threading.Event().wait(PAUSE)

    def grow_to_the_end(self) -> None:
        with self.file.open("ab") as stream:
            stream.write(self.content[self.written :])
        self.written = len(self.content)

    def position(self) -> FilePosition | None:
        position = self.found.positions.get(f"mx9:file:{self.file}")
        assert position is None or isinstance(position, FilePosition)
        return position

    def wait_for_progress(self) -> float:
        """Grow until a position is saved after those known by now; return the seconds that it took."""
        begun = self.position()

        def saved() -> bool:
            self.grow(PAUSE)  # a line that is too long is no progress before its end
            self.found.read_positions()
            return self.position() != begun

        return eventually(saved, what=self.said.read_text()[-3000:])

    def unacknowledged(self) -> dict[object, int]:
        """Return the lines before the saved position that are not in Kafka, now that nobody writes."""
        self.found.read()
        position = self.position()
        if position is None:
            return {}
        assert self.content[: position.offset].endswith(b"\n")
        have = self.found.counted()
        return {line: 1 for line in lines_of(self.settings, self.content[: position.offset]) if line not in have}

    def passed(self, *words: str) -> float:
        """Run one producer until everything written is in Kafka; return the seconds from its start to that."""
        with producer(self.settings, self.said, "logfile", "--follow", self.file, *words) as process:
            whole = self.content.rfind(b"\n", 0, self.written) + 1

            def done() -> bool:
                assert process.poll() is None, self.said.read_text()
                self.found.read_positions()
                position = self.position()
                return position is not None and position.offset == whole

            took = eventually(done, what=str(self.position()))
            ended(process)
        return took


@pytest.fixture
def settings(kafka_settings: KafkaSettings) -> Settings:
    return settings_of(kafka_settings)


def settings_of(kafka: KafkaSettings) -> Settings:
    kafka = kafka.model_copy(update={"topic_prefix": f"t{secrets.token_hex(4)}."})
    producing = ProducerSettings(
        position_ms=20, batch_lines=20, batch_ms=20, buffer_bytes=1024 * 1024, host="mx9", timezone="UTC"
    )
    settings = Settings(kafka=kafka, producer=producing)
    make(settings)
    return settings


@pytest.fixture
def world(settings: Settings, tally: Tally, tmp_path: Path) -> Iterator[Growing]:
    world = Growing(settings, tmp_path, tally)
    yield world
    world.found.close()


def settle(world: Growing, tally: Tally) -> None:
    """Let the rest pass, compare with a run that nothing disturbed, and settle."""
    world.grow_to_the_end()
    tally.recovered(world.passed())
    calm = settings_of(world.settings.kafka)
    logfile.run(calm, [world.file], stop=threading.Event())
    wanted = Produced(calm).read()
    compare(tally, "file", world.found.read(), wanted)
    tally.compare("dead letters", {"dead": world.found.dead > 0}, {"dead": wanted.dead > 0})
    wanted.close()
    tally.notes.append(f"{wanted.counted().total()} lines; {sent_again(world.found)} were sent again")
    tally.settle()


@pytest.mark.fault("file producer killed (SIGKILL)", fast=2, long=25)
def test_a_killed_producer_loses_no_line(world: Growing, tally: Tally) -> None:
    for _ in range(tally.rounds):
        with producer(world.settings, world.said, "logfile", "--follow", world.file) as process:
            tally.recovered(world.wait_for_progress())
            world.grow(world.chance.uniform(0, 0.8))
            process.send_signal(signal.SIGKILL)
            assert process.wait() == -signal.SIGKILL
        tally.injected += 1
        tally.compare("lines before the position", {}, world.unacknowledged())
    settle(world, tally)


@pytest.mark.fault("two file producers at once", fast=1, long=20)
def test_two_producers_of_one_file_write_the_same_lines(world: Growing, tally: Tally) -> None:
    with ExitStack() as stack:

        def start() -> subprocess.Popen[bytes]:
            return stack.enter_context(producer(world.settings, world.said, "logfile", "--follow", world.file))

        running = [start()]
        world.wait_for_progress()
        for _ in range(tally.rounds):
            running.append(start())
            before = sent_again(world.found.read())
            while sent_again(world.found.read()) <= before:  # until both have sent the same lines
                world.grow(0.1)
            world.grow(world.chance.uniform(0, 0.5))
            process = running.pop(world.chance.randrange(2))
            process.send_signal(world.chance.choice([signal.SIGKILL, signal.SIGTERM]))
            process.wait(20)
            tally.injected += 1
            tally.compare("lines before the position", {}, world.unacknowledged())
    settle(world, tally)


@pytest.mark.fault("file producer stopped (SIGTERM)", fast=1, long=20)
def test_a_producer_that_is_stopped_ends_in_time_and_leaves_nothing_to_send_again(world: Growing, tally: Tally) -> None:
    slowest = 0.0
    for _ in range(tally.rounds):
        with producer(world.settings, world.said, "logfile", "--follow", world.file) as process:
            tally.recovered(world.wait_for_progress())
            growing = threading.Thread(target=world.grow, args=(world.chance.uniform(0.3, 1),))
            growing.start()
            threading.Event().wait(world.chance.uniform(0, 0.5))
            slowest = max(slowest, ended(process))
            assert process.returncode == 0, world.said.read_text()
            growing.join()
        tally.injected += 1
        tally.compare("lines before the position", {}, world.unacknowledged())
        assert sent_again(world.found) == 0
    tally.notes.append(f"slowest exit {slowest:.1f} s")
    settle(world, tally)
