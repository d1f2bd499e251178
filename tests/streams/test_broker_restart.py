"""A broker that is killed, or restarts, under a worker costs time and nothing else."""

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer

from journal_postfix.local import EmbeddedCluster
from schemas.errors import JournalPostfixError
from schemas.progress import Progress
from schemas.settings import KafkaSettings, Settings
from schemas.topics import Topic, topics_of

pytestmark = pytest.mark.kafka

Start = Callable[..., subprocess.Popen[bytes]]
Batch = Callable[[int], bytes]
Read = Callable[[KafkaSettings, Topic], list[tuple[bytes, bytes | None]]]
ReadProgress = Callable[[], list[Progress]]
Wait = Callable[..., None]

SECONDS = 25.0
RECORDS_PER_SECOND = 200


@pytest.fixture
def broker(data_dir: Path) -> Iterator[EmbeddedCluster]:
    """Give a broker of the test's own, which it may kill."""
    try:
        with EmbeddedCluster(data_dir, Settings(), nodes=1) as cluster:
            yield cluster
    except JournalPostfixError as error:
        pytest.skip(f"no broker: {error}")


class Feed(threading.Thread):
    """Produces at a steady rate, whatever the broker does."""

    def __init__(self, settings: Settings, one_line: Batch) -> None:
        super().__init__()
        servers = {"bootstrap.servers": settings.kafka.bootstrap_servers, "enable.idempotence": True}
        self.producer = Producer({**servers, "log_level": 0})
        self.topic, self.one_line, self.fed = topics_of(settings.kafka, settings.stream).raw, one_line, 0

    def run(self) -> None:
        began = time.monotonic()
        while (elapsed := time.monotonic() - began) < SECONDS:
            while self.fed < elapsed * RECORDS_PER_SECOND:
                self.producer.produce(self.topic.name, self.one_line(self.fed), partition=self.fed % 4)
                self.fed += 1
            self.producer.poll(0.02)
        assert self.producer.flush(60) == 0


def test_a_broker_that_is_killed_and_one_that_restarts_lose_nothing(
    *,
    broker: EmbeddedCluster,
    stream_settings: Settings,
    start_changed_stream: Start,
    one_line: Batch,
    progress: ReadProgress,
    topic_records: Read,
    wait_until: Wait,
) -> None:
    workers = [start_changed_stream("w0")]
    feed = Feed(stream_settings, one_line)
    feed.start()
    wait_until(lambda: sum(p.batches for p in progress()) > 0)

    broker.kill_node(1)
    broker.start_node(1)
    seen = sum(p.batches for p in progress())

    def goes_on() -> bool:
        if workers[-1].poll() is not None:  # what a supervisor does
            workers.append(start_changed_stream(f"w{len(workers)}"))
        return sum(p.batches for p in progress()) > seen

    wait_until(goes_on)
    broker.stop_node(1)
    broker.start_node(1)
    seen = sum(p.batches for p in progress())
    wait_until(goes_on)
    feed.join()
    seen = feed.fed - 1
    wait_until(goes_on)

    assert sum(p.batches for p in progress()) == sum(p.next_offset for p in progress()) == feed.fed
    rows = dict(
        topic_records(stream_settings.kafka, topics_of(stream_settings.kafka, stream_settings.stream).delivery_from)
    )
    assert len(rows) == feed.fed
    workers[-1].send_signal(signal.SIGTERM)
    assert workers[-1].wait(20) == 0
