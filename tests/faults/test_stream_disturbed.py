"""Workers of the stream stage are frozen, stopped, multiplied and robbed of their files while lines pass."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition
from faults.stream_world import SESSION_SECONDS, STOP_SECONDS, World, stream_world
from faults.tally import Tally

from schemas.settings import Settings

pytestmark = pytest.mark.kafka

Records = Callable[..., list[tuple[bytes, bytes | None]]]


@pytest.mark.fault("stream worker frozen past its session (SIGSTOP, SIGCONT)", fast=2, long=20)
def test_frozen_workers_are_fenced_and_come_back(
    stream_settings: Settings, topic_records: Records, tally: Tally
) -> None:
    with stream_world(stream_settings, tally, workers=4) as world:
        while tally.injected < tally.rounds:
            names = tally.chance.sample(sorted(world.running), tally.chance.randint(1, 3))
            for name in names:
                world.freeze(name)
            world.run_for(SESSION_SECONDS + tally.chance.uniform(0.5, 4))
            world.passed()  # who is awake has their partitions
            for name in names:
                world.thaw(name)
            tally.injected += len(names)
            tally.recovered(world.passed())
            world.run_for(tally.chance.uniform(0, 2))
        world.settle(topic_records)


@pytest.mark.fault("stream worker stopped (SIGTERM) under load", fast=2, long=20)
def test_stopped_workers_end_in_time_with_offsets_committed(
    stream_settings: Settings, topic_records: Records, tally: Tally
) -> None:
    slowest = 0.0
    with stream_world(stream_settings, tally) as world:
        for _ in range(tally.rounds):
            alone, world.keep = len(world.running) == 1, 0
            for name in list(world.running):
                slowest = max(slowest, world.stop(name))
            tally.injected += 1
            told, written = group_offsets(world), {n: p.next_offset for n, p in world.progress().items()}
            if alone:
                tally.compare("offsets", told, written)
            else:  # the group is told nothing amid a rebalance, which is what another's stop is to it
                assert all(offset <= written[number] for number, offset in told.items())
            world.keep = tally.chance.randint(1, 3)
            world.look_after()
            tally.recovered(world.passed())
            world.run_for(tally.chance.uniform(0, 2))
        assert slowest < STOP_SECONDS
        tally.notes.append(f"slowest exit {slowest:.1f} s")
        world.settle(topic_records)


def group_offsets(world: World) -> dict[int, int]:
    """Return how far the consumer group says that each partition is."""
    raw, kafka = world.topics.raw, world.settings.kafka
    group = {"bootstrap.servers": kafka.bootstrap_servers, "group.id": world.settings.stream.application}
    consumer = Consumer(group)
    asked = [TopicPartition(raw.name, number) for number in range(raw.partitions)]
    found = {part.partition: part.offset for part in consumer.committed(asked, 10)}
    consumer.close()
    return found


@pytest.mark.fault("rebalance under load (workers 1, 4, 2, 3)", fast=3, long=21)
def test_rebalances_cost_nothing_and_end_no_worker(
    stream_settings: Settings, topic_records: Records, tally: Tally
) -> None:
    with stream_world(stream_settings, tally) as world:
        counts = [4, 2, 3, 1] * tally.rounds
        while tally.injected < tally.rounds:
            world.keep = counts.pop(0)
            for name in tally.chance.sample(sorted(world.running), max(0, len(world.running) - world.keep)):
                world.stop(name)
            world.look_after()
            tally.injected += 1
            tally.recovered(world.passed())
            world.run_for(tally.chance.uniform(0, 3))
        world.settle(topic_records)


@pytest.mark.fault("stream worker's local files deleted", fast=2, long=20)
def test_local_files_are_of_no_importance(stream_settings: Settings, topic_records: Records, tally: Tally) -> None:
    with stream_world(stream_settings, tally) as world:
        for _ in range(tally.rounds):
            [name] = world.running
            folder = world.folder / name
            # Its folders: a file may be there for a moment, by which tempfile tries whether it can write.
            world.wait(lambda folder=folder: any(child.is_dir() for child in folder.iterdir()))
            for child in filter(Path.is_dir, folder.iterdir()):
                shutil.rmtree(child)
            tally.injected += 1
            tally.recovered(world.passed())
            world.stop(name)
            world.look_after()
        world.settle(topic_records)
