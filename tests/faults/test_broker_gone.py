"""The broker under the stream stage is killed, restarts, stays away and has no room left: that costs time only."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient
from faults.conftest import LONG
from faults.stream_world import World, make_topics, stream_world
from faults.tally import Tally

from journal_postfix.local import EmbeddedCluster
from schemas.errors import JournalPostfixError
from schemas.settings import KafkaSettings, Settings, StreamSettings

pytestmark = pytest.mark.kafka

Records = Callable[..., list[tuple[bytes, bytes | None]]]

MOST_MEGABYTES = 400
"""Resident memory of a worker, at its most, under the load of these tests."""
WORKER_CODES = {1}
"""A worker whose checkpoint the broker does not take for a minute ends, and its supervisor starts it again."""


def or_skipped(cluster: EmbeddedCluster) -> EmbeddedCluster:
    try:
        cluster.start()
    except JournalPostfixError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"no broker: {error}")
        pytest.skip(f"no broker: {error}")
    return cluster


def settings_for(cluster: EmbeddedCluster, copies: int) -> Settings:
    kafka = KafkaSettings(bootstrap_servers=cluster.bootstrap_servers, partitions=4, replication_factor=copies)
    settings = Settings(kafka=kafka, stream=StreamSettings(session_timeout_seconds=6))
    make_topics(settings)
    return settings


@pytest.fixture
def single(data_dir: Path) -> Iterator[EmbeddedCluster]:
    """Give a broker of the test's own, which it may kill."""
    with ExitStack() as stack:
        cluster = EmbeddedCluster(data_dir, Settings(), nodes=1)
        stack.callback(cluster.stop)
        yield or_skipped(cluster)


def peak_megabytes(world: World) -> float:
    """Return the most memory that a worker which runs now ever had."""
    peaks = []
    for process in world.running.values():
        status = Path(f"/proc/{process.pid}/status")
        if status.exists() and "VmHWM" in (text := status.read_text()):
            peaks.append(int(text.split("VmHWM:")[1].split()[0]) / 1024)
    return max(peaks, default=0)


def room_asked(tally: Tally, megabytes: float) -> None:
    tally.notes.append(f"most memory of a worker {megabytes:.0f} MB (cap {MOST_MEGABYTES})")
    assert megabytes < MOST_MEGABYTES


@pytest.mark.fault("broker killed or restarted (one node)", fast=2, long=20)
def test_a_broker_that_is_killed_or_restarts_costs_nothing(
    single: EmbeddedCluster, topic_records: Records, tally: Tally
) -> None:
    most = 0.0
    with stream_world(settings_for(single, 1), tally, workers=2) as world:
        world.may_end = WORKER_CODES
        for _ in range(tally.rounds):
            if tally.chance.random() < 0.7:
                single.kill_node(1)
            else:
                single.stop_node(1)
            tally.injected += 1
            single.start_node(1)
            tally.recovered(world.passed())
            most = max(most, peak_megabytes(world))
            world.run_for(tally.chance.uniform(0, 1.5))
        room_asked(tally, most)
        world.settle(topic_records)


@pytest.mark.fault("broker away, at worst for 65 s", fast=2, long=20)
def test_a_broker_that_stays_away_costs_nothing(single: EmbeddedCluster, topic_records: Records, tally: Tally) -> None:
    most = 0.0
    with stream_world(settings_for(single, 1), tally, workers=2) as world:
        world.may_end = WORKER_CODES
        for number in range(tally.rounds):
            single.kill_node(1)
            away = 65 if LONG and number == 0 else tally.chance.uniform(2, 6)
            world.feed.join(away)
            most = max(most, peak_megabytes(world))
            tally.injected += 1
            single.start_node(1)
            tally.recovered(world.passed(180))
        room_asked(tally, max(most, peak_megabytes(world)))
        world.settle(topic_records)


@pytest.mark.fault("leader of a partition killed (three nodes)", fast=2, long=20)
def test_a_leader_that_is_killed_costs_nothing(cluster: EmbeddedCluster, topic_records: Records, tally: Tally) -> None:
    settings = settings_for(cluster, 3)
    with stream_world(settings, tally, workers=2) as world:
        world.may_end = WORKER_CODES
        admin = AdminClient({"bootstrap.servers": cluster.bootstrap_servers, "log_level": 0})
        for _ in range(tally.rounds):
            topic = tally.chance.choice([world.topics.raw, world.topics.changelog, world.topics.delivery_to])
            wait_for_copies(world, admin, topic.name)
            leader = admin.list_topics(topic.name, timeout=30).topics[topic.name].partitions[0].leader
            cluster.kill_node(leader)
            tally.injected += 1
            tally.recovered(world.passed())  # two of three are enough
            cluster.start_node(leader)
        world.settle(topic_records)


def wait_for_copies(world: World, admin: AdminClient, topic: str) -> None:
    """Wait until every partition has all its copies, so that one more may go."""

    def whole() -> bool:
        partitions = admin.list_topics(topic, timeout=30).topics[topic].partitions.values()
        return all(len(partition.isrs) == 3 and partition.leader > 0 for partition in partitions)

    world.wait(whole, 120)


@pytest.fixture
def small_disk(data_dir: Path) -> Iterator[Path]:
    """Give a folder with a little room; what is in it can be made to fill it."""
    folder = data_dir / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200m,mode=0711", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        reason = f"no small disk can be mounted: {mounted.stderr.decode().strip()}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.fault("disk of the broker full", fast=1, long=20)
def test_a_full_disk_costs_nothing(small_disk: Path, topic_records: Records, tally: Tally) -> None:
    said = ""
    with ExitStack() as stack:
        cluster = EmbeddedCluster(small_disk, Settings(), nodes=1)
        stack.callback(cluster.stop)
        or_skipped(cluster)
        world = stack.enter_context(stream_world(settings_for(cluster, 1), tally, workers=1))
        world.may_end = WORKER_CODES
        for _ in range(tally.rounds):
            fill(small_disk)
            world.wait(lambda: not cluster.running, 60)  # Kafka ends: it has no other disk
            tally.injected += 1
            world.run_for(tally.chance.uniform(0, 3))
            (small_disk / "ballast").unlink()
            cluster.start_node(1)
            tally.recovered(world.passed(180))
            said = world.story()
        assert "Traceback" not in said
        world.settle(topic_records)


def fill(folder: Path) -> None:
    """Take all the room that is left."""
    with (folder / "ballast").open("wb", buffering=0) as ballast:
        try:
            while True:
                ballast.write(bytes(64 * 1024))
        except OSError:
            return
