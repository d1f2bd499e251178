"""The transactional producer of a partition, where another takes the partition at the worst moment."""

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from schemas.kafka import client_config
from schemas.settings import Settings
from schemas.topics import Topic, topics_of
from streams.outputs import Write
from streams.transactions import FencedError, Transactions

pytestmark = pytest.mark.kafka

TopicRecords = Callable[..., list[tuple[bytes, bytes | None]]]


def test_who_is_fenced_while_records_are_handed_over_has_lost_its_partition(
    stream_settings: Settings, topic_records: TopicRecords
) -> None:
    topic = topics_of(stream_settings.kafka, stream_settings.stream).noqueue
    mine = transactions(stream_settings)

    def taken_amid_it() -> Iterator[Write]:
        transactions(stream_settings)
        yield write(topic, b"first")
        time.sleep(3)  # a frozen process: librdkafka's threads hear of it, and this one asks only now
        yield write(topic, b"second")

    with ThreadPoolExecutor(1) as executor, pytest.raises(FencedError, match="went to another worker"):
        asyncio.run(mine.write(taken_amid_it(), executor))
    assert topic_records(stream_settings.kafka, topic) == []


def transactions(settings: Settings) -> Transactions:
    """Take partition 0, from whoever has it."""
    config: dict[str, Any] = client_config(settings.kafka, "test")
    topic = topics_of(settings.kafka, settings.stream).noqueue
    return Transactions(0, config, f"{settings.stream.application}-0", topic.name)


def write(topic: Topic, key: bytes) -> Write:
    return Write(topic.name, key, b"value", 0)
