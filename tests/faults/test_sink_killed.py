"""Sinks are killed, frozen, stopped, replaced: the tables are those of an undisturbed run."""

import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition
from faults.sink_world import SESSION_SECONDS, STOP_SECONDS, SinkWorld, sink_world, world_settings
from faults.tally import Tally

from schemas.settings import DatabaseSettings, KafkaSettings

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]

POINTS = ("before the merge", "before the commit", "amid the commit", "after the commit", "at the positions")
DYING = """
import os, random, signal, sys, threading
from sinks import merging, writing

point, left = sys.argv.pop(1), [int(sys.argv.pop(1))]

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def pass_by(name):
    if name == point:
        left[0] -= 1
        if left[0] < 0:
            threading.Timer(random.uniform(0, 0.005), die).start() if name.startswith("amid") else die()

def lay(owner, method, before="", after=""):
    was = getattr(owner, method)
    def now(*given, **named):
        pass_by(before)
        result = was(*given, **named)
        pass_by(after)
        return result
    setattr(owner, method, now)

lay(merging.Merging, "merge", before="before the merge", after="before the commit")
lay(merging.Merging, "merge", after="amid the commit")
lay(writing.Writer, "write", after="after the commit")
lay(writing.Writer, "positions", before="at the positions")
from journal_postfix.__main__ import main
sys.exit(main())
"""
"""Dies at a point when it comes there after having passed it so often."""


@pytest.fixture
def world(
    kafka_settings: KafkaSettings, migrated: DatabaseSettings, tally: Tally, tmp_path: Path
) -> Iterator[SinkWorld]:
    with sink_world(world_settings(kafka_settings, migrated), tally, tmp_path) as world:
        yield world


@pytest.mark.fault("sink killed (SIGKILL) at any moment", fast=2, long=25)
def test_sinks_killed_at_any_moment_cost_nothing(world: SinkWorld, tally: Tally, database: DatabaseSettings) -> None:
    name = world.start()
    world.passed()
    for _ in range(tally.rounds):
        world.run_for(tally.chance.uniform(0, 1))
        world.kill(name)
        tally.injected += 1
        name = world.start()
        tally.recovered(world.passed())
    world.settle(database)


@pytest.mark.fault("sink killed before, in and after its commit", fast=2, long=25)
def test_sinks_killed_at_their_commit_cost_nothing(world: SinkWorld, tally: Tally, database: DatabaseSettings) -> None:
    for number in range(tally.rounds):
        point = POINTS[(tally.seed + number) % len(POINTS)]
        after = 0 if point == "at the positions" else tally.chance.randrange(4)
        name = world.start(sys.executable, "-c", DYING, point, str(after), "sink")
        assert world.running.pop(name).wait(60) == -signal.SIGKILL, world.story()
        tally.injected += 1
        name = world.start()
        tally.recovered(world.passed())
        world.kill(name)
    world.start()
    world.settle(database)


@pytest.mark.fault("sink frozen (SIGSTOP, SIGCONT) while another takes over", fast=1, long=20)
def test_a_sink_that_still_believes_to_own_partitions_writes_nothing(
    world: SinkWorld, tally: Tally, database: DatabaseSettings
) -> None:
    names = [world.start()]
    world.passed()
    names.append(world.start())
    world.run_for(2)
    for _ in range(tally.rounds):
        frozen = tally.chance.choice(names)
        world.running[frozen].send_signal(signal.SIGSTOP)
        world.run_for(SESSION_SECONDS + tally.chance.uniform(0, 3))
        tally.recovered(world.passed())
        world.running[frozen].send_signal(signal.SIGCONT)
        tally.injected += 1
        world.run_for(tally.chance.uniform(0.5, 3))
        world.passed()
    world.settle(database)


@pytest.mark.fault("sink stopped (SIGTERM) under load", fast=2, long=20)
def test_stopped_sinks_end_in_time_with_their_offsets_committed(
    world: SinkWorld, tally: Tally, database: DatabaseSettings
) -> None:
    slowest = 0.0
    for _ in range(tally.rounds):
        name = world.start()
        world.run_for(tally.chance.uniform(1.5, 3))
        slowest = max(slowest, world.stop(name))
        tally.injected += 1
        assert committed(world) == {place: at for place, at in world.stored().items() if at}
    assert slowest < STOP_SECONDS
    tally.notes.append(f"slowest exit {slowest:.1f} s")
    world.start()
    world.settle(database)


@pytest.mark.fault("sinks come and go under load (1, 3, 1)", fast=3, long=24)
def test_sinks_that_come_and_go_cost_nothing(world: SinkWorld, tally: Tally, database: DatabaseSettings) -> None:
    world.start()
    ways: list[Callable[[str], object]] = [world.kill, world.stop]
    for number in range(tally.rounds):
        if number % 3 == 0:
            while len(world.running) < 3:
                world.start()
        else:
            tally.chance.choice(ways)(tally.chance.choice(list(world.running)))
        tally.injected += 1
        world.run_for(tally.chance.uniform(0.5, 4))
        tally.recovered(world.passed())
    world.settle(database)


def committed(world: SinkWorld) -> dict[tuple[str, int], int]:
    """Return the offsets that the group has, those that move at all."""
    consumer = Consumer(
        {"bootstrap.servers": world.settings.kafka.bootstrap_servers, "group.id": world.settings.sink.group}
    )
    places = consumer.committed([TopicPartition(*place) for place in world.ends()], timeout=20)
    consumer.close()
    return {(place.topic, place.partition): place.offset for place in places if place.offset > 0}
