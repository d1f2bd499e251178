"""Where a source was left is read at once, however many others save theirs meanwhile."""

import threading
import time

import msgspec
import pytest
from confluent_kafka import Producer

from producers.positions import Positions
from schemas.raw import PositionRecord, StreamPosition
from schemas.settings import Settings
from schemas.topics import topics_of

pytestmark = pytest.mark.kafka


def test_positions_are_read_while_other_hosts_save_theirs_all_the_time(settings: Settings) -> None:
    topic = topics_of(settings.kafka, settings.stream).positions.name
    sender = Producer({"bootstrap.servers": settings.kafka.bootstrap_servers, "linger.ms": 0})
    stop, halted = threading.Event(), threading.Event()

    def save(source: str, lines: int) -> None:
        record = PositionRecord(source=source, at="2026-11-23T06:00:00Z", position=StreamPosition(lines=lines))
        sender.produce(topic, msgspec.json.encode(record), source, partition=0)

    def save_all_the_time() -> None:
        while not halted.wait(0.001):
            save("other", 1)
            sender.poll(0)

    save("ours", 7)
    assert sender.flush(20) == 0
    others = threading.Thread(target=save_all_the_time)
    others.start()
    asking = Positions(settings, stop)
    try:
        began = time.monotonic()
        found = asking.of(["ours"], 1)
        took = time.monotonic() - began
    finally:
        halted.set()
        others.join()
        asking.close()
        sender.flush(20)

    assert found == {"ours": StreamPosition(lines=7)}
    assert took < 3
