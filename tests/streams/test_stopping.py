"""A worker that is told to stop does so in time, with all that it merged written, whatever it was doing."""

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from schemas.progress import Progress
from schemas.settings import Settings
from schemas.topics import topics_of

pytestmark = pytest.mark.kafka

Start = Callable[..., subprocess.Popen[bytes]]
Batch = Callable[[int], bytes]
ReadProgress = Callable[[], list[Progress]]
Wait = Callable[..., None]

SAY_MERGED = """
from streams import app
merge = app.StreamApp._merge_record
def say(self, partition, event):
    merge(self, partition, event)
    print("merged", event.message.offset, flush=True)
app.StreamApp._merge_record = say
"""

NO_COMMIT_COMES_BACK = """
import threading
from streams.transactions import Transactions
Transactions._commit = lambda self: threading.Event().wait()
"""


AS_NOHUP = """
import signal
signal.signal(signal.SIGHUP, signal.SIG_IGN)
"""

SAY_RUNNING = """
from contextlib import contextmanager
from streams import worker
stops = worker._stops_before_the_loop
@contextmanager
def say(datadir):
    with stops(datadir):
        print("running", flush=True)
        yield
worker._stops_before_the_loop = say
"""
"""Says so once it catches signals."""


def feed(settings: Settings, one_line: Batch, count: int) -> None:
    producer = Producer({"bootstrap.servers": settings.kafka.bootstrap_servers})
    for number in range(count):
        producer.produce(topics_of(settings.kafka, settings.stream).raw.name, one_line(number), partition=0)
    assert producer.flush(30) == 0


def group_offset(settings: Settings) -> int:
    """How far the consumer group says that partition 0 is."""
    group = {"bootstrap.servers": settings.kafka.bootstrap_servers, "group.id": settings.stream.application}
    consumer = Consumer(group)
    [partition] = consumer.committed([TopicPartition(topics_of(settings.kafka, settings.stream).raw.name, 0)], 10)
    consumer.close()
    return int(partition.offset)


def test_what_was_merged_is_written_at_once_however_far_the_next_checkpoint_is(
    *,
    stream_settings: Settings,
    start_stream: Start,
    one_line: Batch,
    progress: ReadProgress,
    wait_until: Wait,
    tmp_path: Path,
) -> None:
    feed(stream_settings, one_line, 30)
    process = start_stream("w", SAY_MERGED, CHECKPOINT_SECONDS="60", CHECKPOINT_BATCHES="1000")
    wait_until(lambda: "merged 29" in (tmp_path / "w.log").read_text())
    assert progress() == []

    process.send_signal(signal.SIGTERM)

    assert process.wait(20) == 0
    assert [p.next_offset for p in progress()] == [30]
    assert group_offset(stream_settings) == 30


@pytest.mark.parametrize("after", [0.0, 0.5, 1.0, 1.5, 2.0, 3.0])
def test_a_worker_stops_at_any_moment_of_its_start(
    *, start_stream: Start, wait_until: Wait, tmp_path: Path, after: float
) -> None:
    process = start_stream("w", SAY_RUNNING)
    wait_until(lambda: "running" in (tmp_path / "w.log").read_text())
    time.sleep(after)  # the moment is what the test is about

    process.send_signal(signal.SIGTERM)

    assert process.wait(20) == 0


@pytest.mark.parametrize("when", ["running", "merged 29"])
def test_a_terminal_that_is_closed_stops_a_worker_as_sigterm_does(
    *,
    stream_settings: Settings,
    start_stream: Start,
    one_line: Batch,
    progress: ReadProgress,
    wait_until: Wait,
    tmp_path: Path,
    when: str,
) -> None:
    feed(stream_settings, one_line, 30)
    process = start_stream("w", SAY_RUNNING + SAY_MERGED)
    wait_until(lambda: when in (tmp_path / "w.log").read_text())

    process.send_signal(signal.SIGHUP)

    assert process.wait(20) == 0
    assert when == "running" or [p.next_offset for p in progress()] == [30]


def test_what_nohup_has_begun_goes_on_when_its_terminal_is_closed(
    *, stream_settings: Settings, start_stream: Start, one_line: Batch, wait_until: Wait, tmp_path: Path
) -> None:
    process = start_stream("w", AS_NOHUP + SAY_MERGED)
    feed(stream_settings, one_line, 30)
    wait_until(lambda: "merged 29" in (tmp_path / "w.log").read_text())

    process.send_signal(signal.SIGHUP)
    feed(stream_settings, one_line, 30)

    wait_until(lambda: "merged 59" in (tmp_path / "w.log").read_text())
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0


def test_a_worker_whose_last_checkpoint_hangs_stops_all_the_same_and_says_so(
    *, stream_settings: Settings, start_stream: Start, one_line: Batch, wait_until: Wait, tmp_path: Path
) -> None:
    feed(stream_settings, one_line, 30)
    process = start_stream("w", NO_COMMIT_COMES_BACK + SAY_MERGED)
    wait_until(lambda: "merged 29" in (tmp_path / "w.log").read_text())

    process.send_signal(signal.SIGTERM)

    assert process.wait(20) == 1
    assert "did not stop in 18 s; nothing is lost" in (tmp_path / "w.log").read_text()
