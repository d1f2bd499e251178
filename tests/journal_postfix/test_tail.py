from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from journal_postfix.broker import TopicEnds, reach
from journal_postfix.tail import Tail
from journal_postfix.topics import look, make
from schemas.errors import ConfigurationError, TryAgainLaterError
from schemas.settings import KafkaSettings, Settings, StreamSettings
from schemas.topics import topics_of

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.kafka


@pytest.fixture
def settings(kafka_settings: KafkaSettings) -> Settings:
    return Settings(kafka=kafka_settings, stream=StreamSettings(application=kafka_settings.topic_prefix.strip(".")))


@pytest.fixture
def topic(settings: Settings) -> str:
    make(settings)
    return topics_of(settings.kafka, settings.stream).progress.name


@pytest.fixture
def tail(settings: Settings, topic: str) -> "Iterator[Tail]":
    tail = Tail(settings, topic)
    yield tail
    tail.close()


def write(settings: Settings, topic: str, *values: bytes) -> None:
    producer = Producer({"bootstrap.servers": settings.kafka.bootstrap_servers})
    for value in values:
        producer.produce(topic, value, b"key")
        producer.flush(10)


def test_the_first_call_gives_everything_and_a_later_one_what_is_new(
    settings: Settings, topic: str, tail: Tail
) -> None:
    write(settings, topic, b"1", b"2")
    assert [value for _, value in tail.news()] == [b"1", b"2"]
    write(settings, topic, b"3", b"4", b"5")
    news: list[bytes] = []
    while len(news) < 3:
        news += [value for _, value in tail.news()]
    assert news == [b"3", b"4", b"5"]
    assert list(tail.news()) == []


def test_many_ends_reached_one_by_one_hide_nothing(settings: Settings, topic: str, tail: Tail) -> None:
    assert list(tail.news()) == []
    write(settings, topic, *(str(i).encode() for i in range(20)))
    seen: list[bytes] = []
    while len(seen) < 20:
        seen += [value for _, value in tail.news()]
    assert seen[-1] == b"19"


def test_topics_are_made_once_and_corrected_afterwards(settings: Settings) -> None:
    assert {change.action for change in make(settings)} == {"create"}
    assert {change.action for change in look(settings)} == {"keep"}
    more = settings.model_copy(
        update={"kafka": settings.kafka.model_copy(update={"partitions": 6, "raw_retention_days": 3})}
    )
    changes = {change.topic.name.rsplit(".", 1)[-1]: change for change in make(more)}
    assert (changes["raw"].action, list(changes["raw"].config)) == ("too few", ["retention.ms"])
    assert changes["positions"].action == "keep"
    assert {change.action for change in make(more, grow=True)} == {"grow", "keep"}
    assert {change.action for change in look(more)} == {"keep"}


def test_ends_are_those_of_every_partition(settings: Settings) -> None:
    make(settings)
    raw = topics_of(settings.kafka, settings.stream).raw.name
    write(settings, raw, b"1", b"2")
    ends = TopicEnds(settings)
    found = ends.high_watermarks([raw])
    ends.close()
    assert sorted(partition for _, partition in found) == [0, 1, 2, 3]
    assert sum(found.values()) == 2


def test_a_missing_topic_is_named(settings: Settings) -> None:
    ends = TopicEnds(settings)
    with pytest.raises(ConfigurationError, match="nowhere is missing: run `journal-postfix topics`"):
        ends.high_watermarks(["nowhere"])
    ends.close()


def test_too_many_copies_are_explained(settings: Settings) -> None:
    more = settings.model_copy(update={"kafka": settings.kafka.model_copy(update={"replication_factor": 5})})
    with pytest.raises(ConfigurationError, match="larger than the number of brokers"):
        make(more)


def test_a_topic_that_another_made_in_the_meantime_is_no_error(settings: Settings) -> None:
    name = topics_of(settings.kafka, settings.stream).raw.name
    admin = AdminClient({"bootstrap.servers": settings.kafka.bootstrap_servers})
    admin.create_topics([NewTopic(name, 4, 1)])[name].result()
    raw = make(settings)[0]
    assert raw.action in {"configure", "create"}


def test_a_broker_that_does_not_answer_is_named_with_the_reason(free_port: int) -> None:
    nobody = Settings(kafka=KafkaSettings(bootstrap_servers=f"127.0.0.1:{free_port}"))
    with pytest.raises(TryAgainLaterError, match=rf"127\.0\.0\.1:{free_port} does not answer: .*Connection refused"):
        reach(nobody, timeout=3)


def test_without_a_broker_the_error_says_what_to_set() -> None:
    with pytest.raises(ConfigurationError, match="--bootstrap-servers HOST:PORT"):
        reach(Settings())
