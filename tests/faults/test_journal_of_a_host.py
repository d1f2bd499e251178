"""Producers of a real, growing journal: killed, stopped, rotated and vacuumed under, led astray by their position."""

import os
import secrets
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import msgspec
import pytest
from confluent_kafka import Producer
from faults.journal_feed import Feed
from faults.produced import Produced, ended, eventually, producer, sent_again
from faults.tally import Tally
from lab.journald import Journald, why_not

from journal_postfix.topics import make
from schemas.raw import JournalPosition, PositionRecord
from schemas.settings import KafkaSettings, ProducerSettings, Settings
from schemas.topics import topics_of

pytestmark = [pytest.mark.kafka, pytest.mark.journald]

SOURCE = "mx1:journal"
AWAY = 0.3
"""How often the journal is vacuumed while no producer runs."""


class Growing:
    """A journal that grows while producers come and go."""

    def __init__(self, settings: Settings, feed: Feed, folder: Path, tally: Tally) -> None:
        self.settings, self.feed, self.tally = settings, feed, tally
        self.said = folder / "said.log"
        self.chance = tally.chance
        self.found = Produced(settings)
        self.inside = tuple(feed.journald.namespace.command())

    def produce(self) -> AbstractContextManager[subprocess.Popen[bytes]]:
        """Run a producer until the block ends."""
        return producer(self.settings, self.said, "journal", "--follow", inside=self.inside)

    def position(self) -> JournalPosition | None:
        position = self.found.positions.get(SOURCE)
        assert position is None or isinstance(position, JournalPosition)
        return position

    def wait_for_progress(self) -> float:
        """Wait until a position is saved after those known by now; return the seconds that it took."""
        begun = self.position()

        def saved() -> bool:
            self.found.read_positions()
            return self.position() != begun

        return eventually(saved)

    def grow(self, seconds: float) -> None:
        for _ in range(max(1, int(seconds / 0.05))):
            self.feed.log(self.chance.randrange(1, 200))
            threading.Event().wait(0.05)

    def unacknowledged(self) -> dict[object, int]:
        """Return the entries up to the saved position that are not in Kafka, now that nobody writes."""
        self.found.read()
        position = self.position()
        if position is None:
            return {}
        said = self.feed.journalctl(
            "--output=cat", "--identifier=postfix/smtpd", f"--until=@{position.time // 1_000_000}"
        )
        have = {raw.text for line in self.found.counted() for raw in [line.raw]}
        return {text: 1 for text in said.splitlines() if text.encode() not in have}

    def written(self) -> list[bytes]:
        """Return the texts that were written, each as often as it differs in its time or its number."""
        return [line.raw.text for line in self.found.read().counted()]

    def wait_for_all(self) -> float:
        """Wait until everything that was logged is in Kafka; return the seconds that it took."""
        wanted = self.feed.texts().total()
        return eventually(lambda: len(self.written()) >= wanted)

    def passed(self) -> float:
        """Run one producer until everything that was logged is in Kafka; return the seconds."""
        with self.produce() as process:
            wanted = self.feed.texts().total()
            took = eventually(lambda: len(self.written()) >= wanted or process.poll() is not None)
            assert process.poll() is None, self.said.read_text()
            ended(process)
        self.found.read()
        return took

    def settle(self) -> None:
        self.feed.log(10)
        self.tally.recovered(self.passed())
        self.tally.compare_counts("journal", self.written(), self.feed.texts().elements())
        self.tally.notes.append(f"{self.feed.texts().total()} entries; {sent_again(self.found)} were sent again")
        self.tally.settle()


@pytest.fixture
def world(kafka_settings: KafkaSettings, tally: Tally, tmp_path: Path) -> Iterator[Growing]:
    reason = why_not()
    if reason and os.environ.get("CI") == "true":
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)
    settings = Settings(
        kafka=kafka_settings.model_copy(update={"topic_prefix": f"t{secrets.token_hex(4)}."}),
        producer=ProducerSettings(position_ms=20, batch_lines=20, batch_ms=20, buffer_bytes=1024 * 1024),
    )
    make(settings)
    with Journald() as journald, Feed(journald) as feed:
        feed.log(50)
        world = Growing(settings, feed, tmp_path, tally)
        yield world
        world.found.close()


@pytest.mark.fault("journal producer killed (SIGKILL)", fast=1, long=25)
def test_a_killed_producer_loses_no_entry(world: Growing, tally: Tally) -> None:
    for _ in range(tally.rounds):
        world.feed.log(50)
        with world.produce() as process:
            tally.recovered(world.wait_for_progress())
            world.grow(world.chance.uniform(0, 0.6))
            process.send_signal(signal.SIGKILL)
            process.wait()
        tally.injected += 1
        tally.compare("entries before the position", {}, world.unacknowledged())
    world.settle()


@pytest.mark.fault("journal producer stopped (SIGTERM)", fast=1, long=20)
def test_a_producer_that_is_stopped_ends_in_time_and_leaves_nothing_to_send_again(world: Growing, tally: Tally) -> None:
    slowest = 0.0
    for _ in range(tally.rounds):
        world.feed.log(50)
        with world.produce() as process:
            tally.recovered(world.wait_for_progress())
            growing = threading.Thread(target=world.grow, args=(world.chance.uniform(0.2, 0.8),))
            growing.start()
            threading.Event().wait(world.chance.uniform(0, 0.4))
            slowest = max(slowest, ended(process))
            assert process.returncode == 0, world.said.read_text()
            growing.join()
        tally.injected += 1
        assert sent_again(world.found.read()) == 0
    tally.notes.append(f"slowest exit {slowest:.1f} s")
    world.settle()


@pytest.mark.fault("journal rotated and vacuumed while it is read", fast=1, long=25)
def test_rotation_and_vacuuming_lose_no_entry_that_was_read_or_is_left(world: Growing, tally: Tally) -> None:
    with ExitStack() as stack:
        running = stack.enter_context(world.produce())
        for _ in range(tally.rounds):
            growing = threading.Thread(target=world.grow, args=(world.chance.uniform(0.1, 0.6),))
            growing.start()
            world.feed.journalctl("--rotate")
            growing.join()
            tally.recovered(world.wait_for_all())
            away = world.chance.random() < AWAY
            if away:  # the saved position becomes that of an entry that is gone
                ended(running)
            world.feed.journalctl("--rotate")
            world.feed.journalctl("--vacuum-files=1")
            tally.injected += 1
            if away:
                running = stack.enter_context(world.produce())
    world.settle()


@pytest.mark.fault("journal position unknown, in the future, unreadable", fast=2, long=20)
def test_a_position_that_leads_nowhere_costs_no_entry(world: Growing, tally: Tally) -> None:
    topics = topics_of(world.settings.kafka, world.settings.stream)
    sender = Producer(
        {"bootstrap.servers": world.settings.kafka.bootstrap_servers, "partitioner": "murmur2_random"}
    )  # as ours
    for number in range(tally.rounds):
        world.feed.log(world.chance.randrange(50, 300))
        tally.recovered(world.passed())
        position = world.position()
        assert position is not None
        strange = "s=ffffffffffffffffffffffffffffffff;i=1;b=ffffffffffffffffffffffffffffffff;m=1;t=1;x=1"
        astray = [
            msgspec.structs.replace(position, cursor=strange, anchor=strange),
            msgspec.structs.replace(position, cursor=strange, anchor=strange, time=position.time + 10**12),
            msgspec.structs.replace(position, cursor="no cursor", anchor=""),
            msgspec.structs.replace(position, anchor=strange),
            None,
        ][number % 5]
        value = b"no position"
        if astray is not None:
            value = msgspec.json.encode(PositionRecord(source=SOURCE, at="2026-11-23T06:00:00Z", position=astray))
        sender.produce(topics.positions.name, value, SOURCE)
        assert sender.flush(20) == 0
        tally.injected += 1
    world.settle()
