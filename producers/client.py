"""The Kafka producer of a run: idempotent, patient, and quiet."""

from collections.abc import Callable
from typing import Final

import msgspec
from confluent_kafka import KafkaError, Producer

from schemas.kafka import NOTHING_LOST, client_config, quiet
from schemas.settings import Settings

_STATISTICS_MS: Final = 5000


class _Broker(msgspec.Struct):
    txretries: int = 0


class _Statistics(msgspec.Struct):
    """What is of use of librdkafka's STATISTICS.md."""

    brokers: dict[str, _Broker] = {}


_decode: Final = msgspec.json.Decoder(_Statistics).decode


def producer(settings: Settings, on_error: Callable[[KafkaError], None], on_retries: Callable[[int], None]) -> Producer:
    """Return a producer that gives nothing up. Raises ConfigurationError.

    *on_retries* is told how many requests it has sent again in all, now and then, where metrics are on.
    """

    def count(statistics: str) -> None:
        on_retries(sum(broker.txretries for broker in _decode(statistics).brokers.values()))

    return Producer(
        client_config(settings.kafka, "journal-postfix-producer")
        | NOTHING_LOST
        | {
            "message.timeout.ms": 0,  # never given up
            "compression.type": "lz4",
            "linger.ms": 5,
            "reconnect.backoff.max.ms": 1000,  # a broker that is back is found soon
            "queue.buffering.max.messages": 1_000_000,
            "queue.buffering.max.kbytes": 2 * settings.producer.buffer_bytes // 1024,
            "error_cb": on_error,
            "stats_cb": count,
            "statistics.interval.ms": 0 if settings.metrics.port is None else _STATISTICS_MS,
            "logger": quiet,
        }
    )
