"""What the tests of the embedded parts share: looking at processes, running a part in a process of its own."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from schemas.watermarks import watermarks

Program = Callable[..., "subprocess.Popen[str]"]


def _gone(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:  # noqa: PTH123
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.fixture
def ends_within() -> Callable[[int, float], bool]:
    """Give a function that waits for a process, not ours, to end."""

    def wait(pid: int, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not _gone(pid):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    return wait


@pytest.fixture
def run_python() -> Iterator[Program]:
    """Give a function that runs Python source, with arguments, in a process whose output can be read."""
    started: list[subprocess.Popen[str]] = []

    def run(source: str, *arguments: object, **options: object) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-c", source, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            **options,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.communicate(timeout=60)  # the end of its input is its end


class Records:
    """A topic with one partition, to put records in and look whether they are still there."""

    def __init__(self, bootstrap_servers: str, topic: str = "kept") -> None:
        self.servers, self.topic = bootstrap_servers, topic

    def make(self, replication_factor: int = 1) -> None:
        admin = AdminClient({"bootstrap.servers": self.servers})
        [made] = admin.create_topics([NewTopic(self.topic, 1, replication_factor)]).values()
        made.result(30)

    def put(self, *values: bytes) -> None:
        """Write, and return when they are acknowledged by all."""
        producer = Producer({"bootstrap.servers": self.servers, "acks": "all", "delivery.timeout.ms": 60_000})
        for value in values:
            producer.produce(self.topic, value)
        assert producer.flush(60) == 0

    def all(self) -> list[bytes]:
        """Read what is there."""
        config = {"bootstrap.servers": self.servers, "group.id": "unused", "enable.auto.commit": False}
        consumer = Consumer(config | {"allow.auto.create.topics": False})
        try:
            partition = TopicPartition(self.topic, 0, 0)
            low, high = watermarks(consumer, self.topic, 0, 60)
            consumer.assign([partition])
            values: list[bytes] = []
            while len(values) < high - low:
                message = consumer.poll(60)
                assert message is not None, "the broker does not deliver"
                assert message.error() is None, message.error()
                values.append(message.value())
            return values
        finally:
            consumer.close()


@pytest.fixture
def records() -> type[Records]:
    """Give the class, to be made with the address of a broker."""
    return Records
