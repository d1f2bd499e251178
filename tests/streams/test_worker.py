"""The stream stage as a process over a real Kafka: what it keeps, refuses and says."""

import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from schemas.dead_letters import MAX_KEY, decode_dead_letter
from schemas.deliveries import decode_delivery_from
from schemas.errors import ConfigurationError, TryAgainLaterError
from schemas.progress import decode_progress
from schemas.raw import RawBatch, RawLine, StreamPosition, encode_batch
from schemas.settings import KafkaSettings, Settings
from schemas.topics import Topic, topics_of
from streams.worker import run

pytestmark = pytest.mark.kafka

Start = Callable[[str], subprocess.Popen[bytes]]
Read = Callable[[KafkaSettings, Topic], list[tuple[bytes, bytes | None]]]


def batch(message: int) -> bytes:
    line = RawLine(1_700_000_000_000_000, "postfix/smtpd", 7, f"{message:06X}F1: client=c.test[192.0.2.9]".encode())
    return encode_batch(RawBatch(host="mx1", source="test", position=StreamPosition(), lines=[line]))


def feed(settings: Settings, values: list[tuple[int, bytes]]) -> None:
    """Produce values to partitions of the raw topic."""
    producer = Producer({"bootstrap.servers": settings.kafka.bootstrap_servers})
    for partition, value in values:
        producer.produce(topics_of(settings.kafka, settings.stream).raw.name, value, partition=partition)
    assert producer.flush(30) == 0


def wait_until(what: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.2)  # a poll: what is waited for is in another process


def records_read(read: Read, settings: Settings) -> int:
    values = dict(read(settings.kafka, topics_of(settings.kafka, settings.stream).progress)).values()
    progress = [decode_progress(value) for value in values if value is not None]
    return sum(p.batches + p.dead_letters for p in progress)


def test_partitions_that_stay_in_a_rebalance_keep_their_state(
    stream_settings: Settings, start_stream: Start, topic_records: Read, tmp_path: Path
) -> None:
    feed(stream_settings, [(message % 4, batch(message)) for message in range(400)])
    first = start_stream("first")
    wait_until(lambda: records_read(topic_records, stream_settings) == 400)

    second = start_stream("second")
    wait_until(lambda: "restored=[" in (tmp_path / "second.log").read_text())
    feed(stream_settings, [(message % 4, batch(message)) for message in range(400, 800)])
    wait_until(lambda: records_read(topic_records, stream_settings) == 800)
    second.send_signal(signal.SIGTERM)
    assert second.wait(20) == 0
    feed(stream_settings, [(message % 4, batch(message)) for message in range(800, 1200)])
    wait_until(lambda: records_read(topic_records, stream_settings) == 1200)
    first.send_signal(signal.SIGTERM)
    assert first.wait(20) == 0

    text = (tmp_path / "first.log").read_text()
    assigned = [(set(re.findall(r"\d+", kept)), set(re.findall(r"\d+", restored))) for kept, restored in
                re.findall(r"kept=\[([^]]*)\].*?restored=\[([^]]*)\]", text)]  # fmt: skip
    kept_once = set.union(*(kept for kept, _ in assigned))
    assert kept_once, text
    assert all(not kept & restored for kept, restored in assigned)
    restored_later = [number for _, restored in assigned[1:] for number in restored]
    assert not kept_once & set(restored_later), text
    rows = dict(
        topic_records(stream_settings.kafka, topics_of(stream_settings.kafka, stream_settings.stream).delivery_from)
    )
    assert len({decode_delivery_from(value).queue_id for value in rows.values() if value}) == 1200


def test_a_record_that_is_no_batch_is_a_dead_letter_and_its_neighbours_count(
    stream_settings: Settings, start_stream: Start, topic_records: Read
) -> None:
    producer = Producer({"bootstrap.servers": stream_settings.kafka.bootstrap_servers, "compression.type": "lz4"})
    raw = topics_of(stream_settings.kafka, stream_settings.stream).raw.name
    for value in (batch(1), b"\xc1 no batch", batch(2)):
        producer.produce(raw, value, b"k" * 900_000, partition=0)
    assert producer.flush(30) == 0
    process = start_stream("w")
    wait_until(lambda: records_read(topic_records, stream_settings) == 3)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0

    topics = topics_of(stream_settings.kafka, stream_settings.stream)
    [(_, value)] = topic_records(stream_settings.kafka, topics.dead_letter)
    assert value is not None
    letter = decode_dead_letter(value)
    assert (letter.topic, letter.partition, letter.offset) == (topics.raw.name, 0, 1)
    assert letter.value == b"\xc1 no batch"
    assert letter.key == b"k" * MAX_KEY
    assert len(topic_records(stream_settings.kafka, topics.delivery_from)) == 2


def test_a_topic_of_nothing_but_bad_records_halts_the_stage_with_a_message(
    stream_settings: Settings, start_stream: Start, tmp_path: Path
) -> None:
    feed(stream_settings, [(0, b"\xc1")] * 1100)
    assert start_stream("w").wait(60) == 2
    assert "are no batches of log lines" in (tmp_path / "w.log").read_text()


@pytest.mark.parametrize("grown_to", [0, 9])
def test_a_topic_that_was_made_anew_is_an_error_that_names_the_ways_out(
    stream_settings: Settings, start_stream: Start, topic_records: Read, tmp_path: Path, grown_to: int
) -> None:
    feed(stream_settings, [(0, batch(message)) for message in range(5)])
    process = start_stream("before")
    wait_until(lambda: records_read(topic_records, stream_settings) == 5)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    raw = topics_of(stream_settings.kafka, stream_settings.stream).raw
    admin = AdminClient({"bootstrap.servers": stream_settings.kafka.bootstrap_servers})
    admin.delete_topics([raw.name])[raw.name].result()
    wait_until(lambda: raw.name not in admin.list_topics(timeout=10).topics)

    admin.create_topics([NewTopic(raw.name, raw.partitions, 1)])[raw.name].result()
    feed(stream_settings, [(0, batch(message)) for message in range(100, 100 + grown_to)])

    assert start_stream("after").wait(60) == 2
    assert "the topic was made anew" in (tmp_path / "after.log").read_text()


def test_missing_topics_are_named(kafka_settings: KafkaSettings) -> None:
    with pytest.raises(ConfigurationError, match=r"missing topics: .*journal-postfix topics"):
        run(Settings(kafka=kafka_settings))


def test_a_broker_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.worker._ANSWER_SECONDS", 1)
    with pytest.raises(TryAgainLaterError, match=r"127\.0\.0\.1:1"):
        run(Settings(kafka=KafkaSettings(bootstrap_servers="127.0.0.1:1")))
