"""A position that the source topic no longer has is an error, never a jump: at the start, and while a worker runs."""

import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from schemas.kafka import client_config
from schemas.progress import Progress
from schemas.settings import Settings
from schemas.topics import topics_of
from streams.partitions import POSITION, SourcePartition
from streams.restoring import Restorer
from streams.state import PartitionState
from streams.transactions import Transactions

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
    *, raw: Raw, start_stream: Start, progress: ReadProgress, wait_until: Wait, tmp_path: Path
) -> None:
    raw.feed(range(50))
    process = start_stream("w")
    wait_until(read_to(50, progress))

    raw.make_anew(wait_until)
    raw.feed(range(50, 60))

    assert process.wait(90) != 0
    assert start_stream("next").wait(60) == 2
    assert "was read up to 50, but Kafka has another topic of that name now" in (tmp_path / "next.log").read_text()


def test_retention_that_overtakes_a_worker_ends_it(
    *, raw: Raw, start_stream: Start, progress: ReadProgress, wait_until: Wait, tmp_path: Path
) -> None:
    raw.feed(range(50))
    process = start_stream("w")
    wait_until(read_to(50, progress))

    fed = 50
    while process.poll() is None and fed < 200:  # again where a busy broker gave all of it to the fetch under way
        process.send_signal(signal.SIGSTOP)
        raw.feed(range(fed, fed + 1))  # answers the fetch that is under way
        raw.feed(range(fed + 1, fed + 30))
        fed += 30
        raw.forget_before(fed - 10)
        process.send_signal(signal.SIGCONT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)

    assert process.poll() == 2
    assert "its retention passed lines that were never read" in (tmp_path / "w.log").read_text()


def test_retention_up_to_the_position_is_no_error(
    *, raw: Raw, start_stream: Start, progress: ReadProgress, wait_until: Wait
) -> None:
    raw.feed(range(50))
    process = start_stream("before")
    wait_until(read_to(50, progress))
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0

    raw.forget_before(50)
    raw.feed(range(50, 55))
    start_stream("after")

    wait_until(read_to(55, progress))
    assert sum(p.batches for p in progress()) == 55


def test_without_a_position_reading_begins_with_the_earliest_record(
    *, raw: Raw, start_stream: Start, progress: ReadProgress, wait_until: Wait
) -> None:
    raw.feed(range(50))
    raw.forget_before(20)

    start_stream("w")

    wait_until(read_to(50, progress))
    assert sum(p.batches for p in progress()) == 30


def test_a_position_that_another_worker_wrote_while_this_one_was_frozen_amid_restoring_is_not_lost(
    raw: Raw, stream_settings: Settings
) -> None:
    topics = topics_of(stream_settings.kafka, stream_settings.stream)

    class Frozen(Restorer):
        """Had asked for the topic's end when another worker took the partition, and read and wrote on."""

        def _read(self, consumer: Consumer, latest: dict[int, dict[bytes, bytes]]) -> int:
            raw.feed(range(2, 5))
            position = msgspec.json.encode(Progress(partition=0, next_offset=5, batches=5))
            raw.producer.produce(topics.changelog.name, position, POSITION, 0)
            assert raw.producer.flush(30) == 0
            return super()._read(consumer, latest)

    raw.feed(range(2))
    config = client_config(stream_settings.kafka, "test")
    state = PartitionState(0, topics, stream_settings.stream)
    transactions = Transactions(0, config, "test-0", topics.progress.name)
    partition = SourcePartition(0, state, transactions, topics)
    Frozen(config, topics.changelog.name, topics.raw.name).restore({0: partition})
    assert partition.next == partition.committed == 5
