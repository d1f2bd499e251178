"""What tests of the producers share: topics on a real broker, and all that was written to them."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Message, TopicPartition

from journal_postfix.topics import make
from schemas.dead_letters import DeadLetter, decode_dead_letter
from schemas.raw import PositionRecord, RawBatch, RawLine, decode_batch, decode_position
from schemas.settings import KafkaSettings, ProducerSettings, Settings
from schemas.topics import topics_of


class Written:
    """What producers wrote to the topics of *settings*."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._topics = topics_of(settings.kafka, settings.stream)

    def batches(self) -> list[tuple[int, RawBatch]]:
        """Return every batch with its partition, in order within each."""
        return [(partition, decode_batch(value)) for partition, _, value in self._records(self._topics.raw.name)]

    def lines(self) -> list[RawLine]:
        """Return all lines, in the order of time (and as written within a partition)."""
        return sorted((line for _, batch in self.batches() for line in batch.lines), key=lambda line: line.time)

    def texts(self) -> list[bytes]:
        """Return the texts of `lines`."""
        return [line.text for line in self.lines()]

    def positions(self) -> list[PositionRecord]:
        """Return every saved position, in order."""
        return [decode_position(value) for _, _, value in self._records(self._topics.positions.name)]

    def dead_letters(self) -> list[DeadLetter]:
        """Return the dead letters, in order."""
        return [decode_dead_letter(value) for _, _, value in self._records(self._topics.dead_letter.name)]

    def _records(self, topic: str) -> list[tuple[int, bytes | None, bytes]]:
        consumer = Consumer(
            {
                "bootstrap.servers": self.settings.kafka.bootstrap_servers,
                "group.id": "tests",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
            }
        )
        try:
            left = set(consumer.list_topics(topic, timeout=10).topics[topic].partitions)
            consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in left])
            records = []
            while left:
                for message in consumer.consume(1000, 0.05):
                    error = message.error()
                    if error is None:
                        records.append((partition_of(message), message.key(), message.value() or b""))
                    else:
                        assert error.code() == KafkaError._PARTITION_EOF
                        left.discard(message.partition())
            return records
        finally:
            consumer.close()


@pytest.fixture
def settings(kafka_settings: KafkaSettings) -> Settings:
    """Give settings whose topics exist; positions are saved often, the host is ``mx9`` where lines name none."""
    settings = Settings(kafka=kafka_settings, producer=ProducerSettings(position_ms=50, host="mx9", timezone="UTC"))
    make(settings)
    return settings


@pytest.fixture
def written(settings: Settings) -> Written:
    return Written(settings)


@pytest.fixture
def written_by() -> Callable[[Settings], Written]:
    return Written


def partition_of(message: Message) -> int:
    partition = message.partition()
    assert partition is not None
    return partition


class Background:
    """Runs a producer in a thread."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.summary: object = None
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None

    def start(self, call: Callable[[threading.Event], object]) -> None:
        def work() -> None:
            try:
                self.summary = call(self.stop)
            except BaseException as error:  # noqa: BLE001 - raised again in the test's thread
                self._failure = error

        self._thread = threading.Thread(target=work, daemon=True)
        self._thread.start()

    def join(self, seconds: float = 30) -> object:
        """Stop it and return its summary."""
        self.stop.set()
        return self.ended(seconds)

    def ended(self, seconds: float = 30) -> object:
        assert self._thread is not None
        self._thread.join(seconds)
        assert not self._thread.is_alive(), "the producer did not stop"
        if self._failure is not None:
            raise self._failure
        return self.summary

    def running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()


@pytest.fixture
def background() -> Iterator[Background]:
    """Give a producer's thread; it is stopped after the test."""
    background = Background()
    yield background
    background.stop.set()
    if background.running():
        background.ended()


@pytest.fixture
def eventually() -> Callable[[Callable[[], object]], None]:
    """Give a function that waits until another returns something true."""

    def wait(condition: Callable[[], object], seconds: float = 20) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "it did not come about"
            threading.Event().wait(0.05)

    return wait
