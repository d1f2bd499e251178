"""A rebalance loses no record whatever Faust does with its queues on the way, and ends no worker."""

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewPartitions

from schemas.progress import Progress
from schemas.settings import Settings
from schemas.topics import topics_of

pytestmark = pytest.mark.kafka

Start = Callable[..., subprocess.Popen[bytes]]
Batch = Callable[[int], bytes]
ReadProgress = Callable[[], list[Progress]]
Wait = Callable[..., None]

SOON_NOTICED = """
from streams import app
app._METADATA_MS = 1000
"""

SLOW_SEEK_AND_AGENT = """
import asyncio, time
from streams import app, committed_reads
seek, merge = committed_reads.Consumer.perform_seek, app.StreamApp._merge_record
async def slow_seek(self):
    await seek(self)
    await asyncio.sleep(1)
def slow_merge(self, partition, event):
    time.sleep(0.002)
    merge(self, partition, event)
committed_reads.Consumer.perform_seek, app.StreamApp._merge_record = slow_seek, slow_merge
"""
"""Faust empties its queues a whole second after the seek; the agent is slow, so that they are never empty."""

DROPPED = """
from mode.utils.queues import FlowControlQueue
put, dropped = FlowControlQueue.force_put_nowait, []
def drop(self, event):
    offset = event.message.offset
    if offset not in ({offsets}) or dropped.count(offset) >= {times}:
        put(self, event)
    else:
        dropped.append(offset)
FlowControlQueue.force_put_nowait = drop
"""
"""Faust drops records between the fetch and the agent, so many times."""

SLOW_RESTORE = """
import time
from streams.restoring import Restorer
restore = Restorer.restore
def slow_restore(self, partitions):
    time.sleep(9)
    return restore(self, partitions)
Restorer.restore = slow_restore
"""
"""Restoring takes longer than the session lasts, which is six seconds."""


def test_records_that_come_between_the_seek_and_the_emptying_of_queues_are_not_lost(
    *,
    stream_settings: Settings,
    start_stream: Start,
    one_line: Batch,
    progress: ReadProgress,
    tmp_path: Path,
    wait_until: Wait,
) -> None:
    raw = topics_of(stream_settings.kafka, stream_settings.stream).raw.name
    producer = Producer({"bootstrap.servers": stream_settings.kafka.bootstrap_servers, "linger.ms": 1})
    fed = [0]

    def feed_until(what: Callable[[], bool]) -> None:
        def step() -> bool:
            for _ in range(40):
                producer.produce(raw, one_line(fed[0]), partition=fed[0] % 4)
                fed[0] += 1
            producer.flush(10)
            return what()

        wait_until(step)

    first = start_stream("first", SLOW_SEEK_AND_AGENT)
    log = tmp_path / "first.log"
    feed_until(lambda: len(progress()) == 4)
    for rebalances, name in ((2, "second"), (4, "third")):
        other = start_stream(name)
        feed_until(lambda rebalances=rebalances: log.read_text().count("partitions assigned") >= rebalances)
        other.send_signal(signal.SIGTERM)
        feed_until(lambda rebalances=rebalances: log.read_text().count("partitions assigned") >= rebalances + 1)
        assert other.wait(20) == 0

    wait_until(lambda: sum(p.next_offset for p in progress()) == fed[0])
    assert sum(p.batches for p in progress()) == fed[0]
    first.send_signal(signal.SIGTERM)
    assert first.wait(20) == 0


@pytest.mark.parametrize("offsets", ["3, 4", "9,"])  # after 9 comes none that would tell of it
def test_records_that_faust_drops_are_fetched_again(
    *,
    offsets: str,
    stream_settings: Settings,
    start_stream: Start,
    one_line: Batch,
    progress: ReadProgress,
    wait_until: Wait,
) -> None:
    raw = topics_of(stream_settings.kafka, stream_settings.stream).raw.name
    producer = Producer({"bootstrap.servers": stream_settings.kafka.bootstrap_servers})
    for number in range(10):
        producer.produce(raw, one_line(number), partition=0)
    assert producer.flush(10) == 0

    worker = start_stream("w", DROPPED.format(offsets=offsets, times=2))

    wait_until(lambda: any(p.next_offset == 10 for p in progress()))
    assert [p.batches for p in progress()] == [10]
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(20) == 0


def test_a_record_that_never_reaches_the_agent_ends_the_worker_and_is_read_by_the_next(
    *,
    stream_settings: Settings,
    start_stream: Start,
    one_line: Batch,
    progress: ReadProgress,
    tmp_path: Path,
    wait_until: Wait,
) -> None:
    raw = topics_of(stream_settings.kafka, stream_settings.stream).raw.name
    producer = Producer({"bootstrap.servers": stream_settings.kafka.bootstrap_servers})
    for number in range(10):
        producer.produce(raw, one_line(number), partition=0)
    assert producer.flush(10) == 0

    assert start_stream("dropping", DROPPED.format(offsets="5,", times=1_000_000)).wait(60) == 1
    assert "records 5 to 5 of partition 0" in (tmp_path / "dropping.log").read_text()

    start_stream("next")
    wait_until(lambda: any(p.next_offset == 10 for p in progress()))
    assert [p.batches for p in progress()] == [10]


def test_a_worker_that_restores_for_longer_than_its_session_lasts_stays_and_so_do_the_others(
    *,
    stream_settings: Settings,
    start_stream: Start,
    one_line: Batch,
    progress: ReadProgress,
    tmp_path: Path,
    wait_until: Wait,
) -> None:
    raw = topics_of(stream_settings.kafka, stream_settings.stream).raw.name
    producer = Producer({"bootstrap.servers": stream_settings.kafka.bootstrap_servers})
    workers: list[subprocess.Popen[bytes]] = []

    def start(name: str) -> None:
        workers.append(start_stream(name, SLOW_RESTORE))
        wait_until(lambda: "restored=[0" in (tmp_path / f"{name}.log").read_text())

    def pass_on(numbers: range) -> None:
        for number in numbers:
            producer.produce(raw, one_line(number), partition=number % 4)
        assert producer.flush(10) == 0
        wait_until(lambda: sum(p.next_offset for p in progress()) == numbers.stop)
        assert [worker.poll() for worker in workers] == [None] * len(workers)

    start("first")
    pass_on(range(100))
    start("second")
    pass_on(range(100, 200))
    workers.pop().send_signal(signal.SIGKILL)
    pass_on(range(200, 300))
    start("third")
    pass_on(range(300, 400))
    for worker in workers:
        worker.send_signal(signal.SIGTERM)
    assert [worker.wait(20) for worker in workers] == [0, 0]
    assert sum(p.batches for p in progress()) == 400


def test_workers_that_are_stopped_amid_their_start_leave_the_others_alone(
    *,
    stream_settings: Settings,
    start_stream: Start,
    one_line: Batch,
    progress: ReadProgress,
    tmp_path: Path,
    wait_until: Wait,
) -> None:
    raw = topics_of(stream_settings.kafka, stream_settings.stream).raw.name
    producer = Producer({"bootstrap.servers": stream_settings.kafka.bootstrap_servers})
    stays = start_stream("stays")
    wait_until(lambda: "partitions assigned" in (tmp_path / "stays.log").read_text())
    for tenths in range(2, 18, 3):
        name = f"stopped-{tenths}"
        stopped = start_stream(name)
        wait_until(lambda name=name: "stream stage starts" in (tmp_path / f"{name}.log").read_text())
        time.sleep(tenths / 10)  # the moment is what the test is about
        stopped.send_signal(signal.SIGTERM)
        assert stopped.wait(20) == 0

    for number in range(100):
        producer.produce(raw, one_line(number), partition=number % 4)
    assert producer.flush(10) == 0
    wait_until(lambda: sum(p.next_offset for p in progress()) == 100)
    assert stays.poll() is None
    stays.send_signal(signal.SIGTERM)
    assert stays.wait(20) == 0


def test_a_worker_that_was_frozen_past_its_session_comes_back_and_takes_part(
    *,
    stream_settings: Settings,
    start_stream: Start,
    one_line: Batch,
    progress: ReadProgress,
    tmp_path: Path,
    wait_until: Wait,
) -> None:
    raw = topics_of(stream_settings.kafka, stream_settings.stream).raw.name
    producer = Producer({"bootstrap.servers": stream_settings.kafka.bootstrap_servers})

    def feed(numbers: range) -> None:
        for number in numbers:
            producer.produce(raw, one_line(number), partition=number % 4)
        assert producer.flush(10) == 0

    def passed(count: int) -> bool:
        return sum(p.next_offset for p in progress()) == count

    frozen = start_stream("frozen")
    feed(range(100))
    wait_until(lambda: passed(100))
    feed(range(100, 4000))  # it freezes amid these
    frozen.send_signal(signal.SIGSTOP)
    other = start_stream("other")
    wait_until(lambda: passed(4000))

    frozen.send_signal(signal.SIGCONT)

    log = tmp_path / "frozen.log"
    wait_until(lambda: log.read_text().count("partitions assigned") == 2)
    feed(range(4000, 4100))
    wait_until(lambda: passed(4100))
    for worker in (frozen, other):
        assert worker.poll() is None, log.read_text()
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(20) == 0
    assert sum(p.batches for p in progress()) == 4100


def test_partitions_that_are_added_are_read_after_a_start_afresh(
    stream_settings: Settings, start_stream: Start, one_line: Batch, progress: ReadProgress, wait_until: Wait
) -> None:
    topics = topics_of(stream_settings.kafka, stream_settings.stream)
    more = stream_settings.kafka.partitions + 1
    worker = start_stream("first", SOON_NOTICED)
    producer = Producer({"bootstrap.servers": stream_settings.kafka.bootstrap_servers})
    producer.produce(topics.raw.name, one_line(1), partition=0)
    assert producer.flush(30) == 0
    wait_until(lambda: len(progress()) == 1)

    admin = AdminClient({"bootstrap.servers": stream_settings.kafka.bootstrap_servers})
    for topic in (topics.raw, *topics.outputs(), topics.changelog):
        admin.create_partitions([NewPartitions(topic.name, more)])[topic.name].result()
    assert worker.wait(60) == 1
    start_stream("second")
    producer = Producer({"bootstrap.servers": stream_settings.kafka.bootstrap_servers})
    producer.produce(topics.raw.name, one_line(2), partition=more - 1)
    assert producer.flush(30) == 0
    wait_until(lambda: len(progress()) == 2)
