"""A sink's lag is between what the database has and the ends of its partitions, also while the database is away."""

from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from sinks import lags as module
from sinks.lags import Lags

AT = ("postfix.noqueue", 0)


class Kafka:
    """Ends of partitions: as the last fetch told them, and as they are."""

    fetched = -1001
    end = 0
    away = False

    def get_watermark_offsets(self, place: TopicPartition, *, cached: bool = False, timeout: float = 0) -> Any:
        assert (place.topic, place.partition) == AT
        assert cached or 0 < timeout <= 1
        if self.away:
            raise KafkaException(KafkaError(KafkaError._ALL_BROKERS_DOWN))
        return (0, self.fetched if cached else self.end)


@pytest.fixture
def lags(monkeypatch: pytest.MonkeyPatch) -> Lags:
    monkeypatch.setattr(module, "_EVERY_SECONDS", 0.0)
    monkeypatch.setattr(module, "_ASKED_EVERY_SECONDS", 0.0)
    lags = Lags()
    lags.keep([AT])
    return lags


def records(lags: Lags) -> float:
    [value] = [figure.value for figure in lags.figures() if figure.name == "sink_lag_records"]
    return value


def test_what_is_read_and_not_stored_is_behind(lags: Lags) -> None:
    kafka = Kafka()
    lags.begin(AT, 10)
    lags.measure(kafka)  # type: ignore[arg-type]
    assert records(lags) == 0  # nobody knows the end yet
    kafka.fetched = 15
    lags.measure(kafka)  # type: ignore[arg-type]
    assert records(lags) == 5
    lags.stored({AT: 15}, {AT: 1.0})
    lags.measure(kafka)  # type: ignore[arg-type]
    assert records(lags) == 0


def test_a_partition_that_was_never_stored_is_behind_by_all_of_it(lags: Lags) -> None:
    kafka = Kafka()
    lags.begin(AT, None)
    kafka.fetched = 7
    lags.measure(kafka)  # type: ignore[arg-type]
    assert records(lags) == 7


def test_while_the_database_is_away_the_end_is_asked_for_and_the_lag_grows(lags: Lags) -> None:
    kafka = Kafka()
    lags.begin(AT, 10)
    kafka.fetched, kafka.end = 10, 90
    lags.measure(kafka, ask=True)  # type: ignore[arg-type]
    assert records(lags) == 80
    kafka.away = True
    lags.measure(kafka, ask=True)  # type: ignore[arg-type]
    assert records(lags) == 80


def test_partitions_that_went_to_another_sink_are_not_told(lags: Lags) -> None:
    lags.begin(AT, 10)
    lags.keep([])
    lags.stored({AT: 15}, {AT: 1.0})  # of a batch that was being written
    assert not list(lags.figures())
