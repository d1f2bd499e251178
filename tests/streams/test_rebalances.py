"""A rebalance loses no record, whatever Faust does with its queues on the way."""

import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Producer

from schemas.progress import Progress
from schemas.settings import Settings
from schemas.topics import topics_of

pytestmark = pytest.mark.kafka

Start = Callable[..., subprocess.Popen[bytes]]
Batch = Callable[[int], bytes]
ReadProgress = Callable[[], list[Progress]]
Wait = Callable[..., None]

SLOW_SEEK_AND_AGENT = """
import asyncio, time
from streams import app, committed_reads
seek, merge = committed_reads._Consumer.perform_seek, app.StreamApp._merge_record
async def slow_seek(self):
    await seek(self)
    await asyncio.sleep(1)
def slow_merge(self, partition, event):
    time.sleep(0.002)
    merge(self, partition, event)
committed_reads._Consumer.perform_seek, app.StreamApp._merge_record = slow_seek, slow_merge
"""
"""Faust empties its queues a whole second after the seek; the agent is slow, so that they are never empty."""

DROPPED = """
from mode.utils.queues import FlowControlQueue
put = FlowControlQueue.force_put_nowait
def drop_one(self, event):
    if event.message.offset != 5:
        put(self, event)
FlowControlQueue.force_put_nowait = drop_one
"""
"""Faust drops a record between the fetch and the agent."""


def test_records_that_come_between_the_seek_and_the_emptying_of_queues_are_not_lost(
    *,
    stream_settings: Settings,
    start_changed_stream: Start,
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

    first = start_changed_stream("first", SLOW_SEEK_AND_AGENT)
    log = tmp_path / "first.log"
    feed_until(lambda: len(progress()) == 4)
    for rebalances, name in ((2, "second"), (4, "third")):
        other = start_changed_stream(name)
        feed_until(lambda rebalances=rebalances: log.read_text().count("partitions assigned") >= rebalances)
        other.send_signal(signal.SIGTERM)
        feed_until(lambda rebalances=rebalances: log.read_text().count("partitions assigned") >= rebalances + 1)
        assert other.wait(20) == 0

    wait_until(lambda: sum(p.next_offset for p in progress()) == fed[0])
    assert sum(p.batches for p in progress()) == fed[0]
    first.send_signal(signal.SIGTERM)
    assert first.wait(20) == 0


def test_a_record_that_faust_drops_ends_the_worker_and_is_read_by_the_next(
    *,
    stream_settings: Settings,
    start_changed_stream: Start,
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

    assert start_changed_stream("dropping", DROPPED).wait(60) == 1
    assert "records 5 to 5 of partition 0" in (tmp_path / "dropping.log").read_text()

    start_changed_stream("next")
    wait_until(lambda: any(p.next_offset == 10 for p in progress()))
    assert [p.batches for p in progress()] == [10]
