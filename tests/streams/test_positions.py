"""A position that the source topic no longer has is an error, never a jump: at the start, and while a worker runs."""

import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from schemas.progress import Progress
from schemas.settings import Settings
from schemas.topics import topics_of

pytestmark = pytest.mark.kafka

Start = Callable[..., subprocess.Popen[bytes]]
Batch = Callable[[int], bytes]
ReadProgress = Callable[[], list[Progress]]
Wait = Callable[..., None]


class Raw:
    """The source topic, all of whose records go to partition 0."""

    def __init__(self, settings: Settings, one_line: Batch) -> None:
        servers = {"bootstrap.servers": settings.kafka.bootstrap_servers}
        self.topic = topics_of(settings.kafka, settings.stream).raw
        self.admin, self.producer, self.one_line = AdminClient(servers), Producer(servers), one_line

    def feed(self, numbers: range) -> None:
        for number in numbers:
            self.producer.produce(self.topic.name, self.one_line(number), partition=0)
        assert self.producer.flush(30) == 0

    def make_anew(self, wait_until: Wait) -> None:
        self.admin.delete_topics([self.topic.name])[self.topic.name].result()
        wait_until(lambda: self.topic.name not in self.admin.list_topics(timeout=10).topics)
        self.admin.create_topics([NewTopic(self.topic.name, self.topic.partitions, 1)])[self.topic.name].result()

    def forget_before(self, offset: int) -> None:
        """Do what retention does."""
        partition = TopicPartition(self.topic.name, 0, offset)
        self.admin.delete_records([partition])[partition].result()


@pytest.fixture
def raw(stream_settings: Settings, one_line: Batch) -> Raw:
    return Raw(stream_settings, one_line)


def read_to(offset: int, progress: ReadProgress) -> Callable[[], bool]:
    return lambda: any(p.next_offset == offset for p in progress())


def test_a_topic_made_anew_under_a_worker_ends_it_and_stops_the_next(
    *, raw: Raw, start_changed_stream: Start, progress: ReadProgress, wait_until: Wait, tmp_path: Path
) -> None:
    raw.feed(range(50))
    process = start_changed_stream("w")
    wait_until(read_to(50, progress))

    raw.make_anew(wait_until)
    raw.feed(range(50, 60))

    assert process.wait(90) != 0
    assert start_changed_stream("next").wait(60) == 2
    assert "was read up to 50, but holds 0 to 10 now" in (tmp_path / "next.log").read_text()


def test_retention_that_overtakes_a_worker_ends_it(
    *, raw: Raw, start_changed_stream: Start, progress: ReadProgress, wait_until: Wait, tmp_path: Path
) -> None:
    raw.feed(range(50))
    process = start_changed_stream("w")
    wait_until(read_to(50, progress))

    process.send_signal(signal.SIGSTOP)
    raw.feed(range(50, 51))  # answers the fetch that is under way
    raw.feed(range(51, 80))
    raw.forget_before(70)
    process.send_signal(signal.SIGCONT)

    assert process.wait(60) == 2
    assert "its retention passed lines that were never read" in (tmp_path / "w.log").read_text()


def test_retention_up_to_the_position_is_no_error(
    *, raw: Raw, start_changed_stream: Start, progress: ReadProgress, wait_until: Wait
) -> None:
    raw.feed(range(50))
    process = start_changed_stream("before")
    wait_until(read_to(50, progress))
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0

    raw.forget_before(50)
    raw.feed(range(50, 55))
    start_changed_stream("after")

    wait_until(read_to(55, progress))
    assert sum(p.batches for p in progress()) == 55


def test_without_a_position_reading_begins_with_the_earliest_record(
    *, raw: Raw, start_changed_stream: Start, progress: ReadProgress, wait_until: Wait
) -> None:
    raw.feed(range(50))
    raw.forget_before(20)

    start_changed_stream("w")

    wait_until(read_to(50, progress))
    assert sum(p.batches for p in progress()) == 30
