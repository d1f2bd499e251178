"""A partition to feed lines to, and the rows that it then has written."""

from collections.abc import Iterable
from typing import Any

import msgspec
import pytest

from schemas.deliveries import DeliveryTo, decode_delivery_to
from schemas.merging import merge_deliveries
from schemas.raw import RawBatch, RawLine, StreamPosition
from schemas.settings import KafkaSettings, StreamSettings
from schemas.topics import Topics, topics_of
from streams.state import PartitionState, Write

SECOND = 1_000_000
START = 1_700_000_000 * SECOND


class Fed:
    """One partition's state, fed with lines as ``(seconds, program, text)``."""

    def __init__(self) -> None:
        self.settings = StreamSettings()
        self.topics: Topics = topics_of(KafkaSettings(partitions=1), self.settings)
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
    def changelog(self) -> dict[bytes, bytes]:
        """What the changelog has in the end."""
        return self.values(self.topics.changelog.name)


@pytest.fixture
def fed() -> Fed:
    return Fed()


@pytest.fixture(scope="session")
def new_fed() -> type[Fed]:
    return Fed
