"""A partition to feed lines to, and the rows that it then has written; workers as processes, and how far they are."""

import time
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import pytest

from schemas.deliveries import DeliveryTo, decode_delivery_to
from schemas.merging import merge_deliveries
from schemas.progress import Progress, decode_progress
from schemas.raw import RawBatch, RawLine, StreamPosition, encode_batch
from schemas.settings import KafkaSettings, Settings, StreamSettings
from schemas.topics import Topic, Topics, topics_of
from streams.state import PartitionState, Write

SECOND = 1_000_000
START = 1_700_000_000 * SECOND
PARTITIONS = 8


class Fed:
    """One partition's state, fed with lines as ``(seconds, program, text)``."""

    def __init__(self) -> None:
        self.settings = StreamSettings()
        self.topics: Topics = topics_of(KafkaSettings(partitions=PARTITIONS), self.settings)
        self.state = PartitionState(0, self.topics, self.settings)
        self.writes: list[Write] = []

    def batch(self, lines: Iterable[tuple[float, str, str]], host: str = "mx1") -> RawBatch:
        """Make a record of lines; identical ones are numbered as a producer does it."""
        seen: dict[tuple[float, str, str], int] = {}
        raw = []
        for seconds, program, text in lines:
            number = seen[seconds, program, text] = seen.get((seconds, program, text), -1) + 1
            raw.append(RawLine(START + int(seconds * SECOND), program, 77, text.encode(), number))
        return RawBatch(host=host, source="test", position=StreamPosition(), lines=raw)

    def feed(self, *lines: tuple[float, str, str], checkpoint: bool = True) -> None:
        """Merge the lines as one record, and make a checkpoint."""
        self.state.merge(self.batch(lines))
        if checkpoint:
            self.writes += self.state.checkpoint()

    def values(self, topic: str) -> dict[bytes, bytes]:
        """What a compacted topic has in the end."""
        last = {write.key: write.value for write in self.writes if write.topic == topic}
        return {key: value for key, value in last.items() if value is not None}

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The messages' rows, by arrival."""
        rows = [msgspec.json.decode(value) for value in self.values(self.topics.delivery_from.name).values()]
        return sorted(rows, key=lambda row: (row["arrived_at"], row["queue_id"]))

    @property
    def deliveries(self) -> dict[tuple[str, str, str], DeliveryTo]:
        """The deliveries' rows by queue id, recipient and original recipient, all versions merged as a sink does it."""
        rows: dict[bytes, DeliveryTo] = {}
        for write in self.writes:
            if write.topic != self.topics.delivery_to.name:
                continue
            if write.value is None:
                rows.pop(write.key, None)
                continue
            row = decode_delivery_to(write.value)
            if write.key in rows:
                merge_deliveries(rows[write.key], row)
            else:
                rows[write.key] = row
        return {(row.queue_id, row.recipient, row.orig_recipient): row for row in rows.values()}

    @property
    def noqueue(self) -> list[dict[str, Any]]:
        """The rejections without a queue id."""
        return [msgspec.json.decode(value) for value in self.values(self.topics.noqueue.name).values()]

    @property
    def sessions(self) -> list[dict[str, Any]]:
        """The encryption of connections."""
        return [msgspec.json.decode(value) for value in self.values(self.topics.tls_session.name).values()]

    @property
    def changelog(self) -> dict[bytes, bytes]:
        """What the changelog has in the end."""
        return self.values(self.topics.changelog.name)


@pytest.fixture
def fed() -> Fed:
    return Fed()


@pytest.fixture(scope="session")
def new_fed() -> type[Fed]:
    return Fed


@pytest.fixture
def progress(
    stream_settings: Settings, topic_records: Callable[[KafkaSettings, Topic], list[tuple[bytes, bytes | None]]]
) -> Callable[[], list[Progress]]:
    """Give a reader of each partition's progress, as the last committed checkpoint has it."""
    topic = topics_of(stream_settings.kafka, stream_settings.stream).progress

    def read() -> list[Progress]:
        values = dict(topic_records(stream_settings.kafka, topic)).values()
        return [decode_progress(value) for value in values if value is not None]

    return read


@pytest.fixture(scope="session")
def one_line() -> Callable[[int], bytes]:
    """Give a maker of batches with the origin line of one message each."""

    def make(number: int) -> bytes:
        text = f"{number:06X}F1: client=c.test[192.0.2.9]".encode()
        line = RawLine(START, "postfix/smtpd", 7, text)
        return encode_batch(RawBatch(host="mx1", source="test", position=StreamPosition(), lines=[line]))

    return make


@pytest.fixture(scope="session")
def wait_until() -> Callable[..., None]:
    """Give a way to wait for what other processes do."""

    def wait(what: Callable[[], bool], seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < deadline, "waited in vain"
            time.sleep(0.1)  # a poll: what is waited for is in another process

    return wait
