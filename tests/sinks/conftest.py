"""A migrated database, a writer on it, and records as the stream stage writes them."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from schemas.deliveries import DeliveryFrom, DeliveryTo, Rejection
from schemas.settings import DatabaseSettings, KafkaSettings, Settings, StreamSettings
from schemas.tls_sessions import TlsSession
from schemas.topics import Topics, topics_of
from sinks.batches import Batch
from sinks.connecting import connect
from sinks.writing import Writer

ARRIVED = "2026-11-22T06:00:00.000000Z"

Query = Callable[..., list[tuple[Any, ...]]]


class Rows:
    """Makes records; what a test does not say has a plain value."""

    def message(self, arrived_at: str = ARRIVED, **fields: Any) -> DeliveryFrom:
        return DeliveryFrom(
            **{"host": "mx1", "queue_id": "9D5CB98A3E3", "arrived_at": arrived_at, "origin": 2} | fields
        )

    def delivery(self, arrived_at: str = ARRIVED, **fields: Any) -> DeliveryTo:
        at = fields.get("last_attempt_at", arrived_at)
        return DeliveryTo(
            **{
                "host": "mx1", "queue_id": "9D5CB98A3E3", "arrived_at": arrived_at, "origin": 2,
                "recipient": "r@example.org", "last_attempt_at": at, "first_attempt_at": at, "status": "sent",
            } | fields
        )  # fmt: skip

    def rejection(self, at: str = ARRIVED, **fields: Any) -> Rejection:
        return Rejection(
            **{
                "host": "mx1", "at": at, "digest": "0123456789abcdef", "service": "smtpd", "instance": "postfix",
                "pid": 7, "action": "reject", "stage": "RCPT",
            } | fields
        )  # fmt: skip

    def session(self, at: str = ARRIVED, **fields: Any) -> TlsSession:
        return TlsSession(
            **{
                "host": "mx1", "at": at, "digest": "0123456789abcdef", "service": "smtpd", "instance": "postfix",
                "pid": 7, "direction": "from", "trust": "anonymous", "reused": False, "peer_name": "c.example.net",
                "peer_address": "192.0.2.1", "protocol": "TLSv1.3", "cipher": "TLS_AES_256_GCM_SHA384",
            } | fields
        )  # fmt: skip

    def batch(self, *records: DeliveryFrom | DeliveryTo | Rejection | TlsSession) -> Batch:
        """Return a batch of records as a sink would have decoded them."""
        from schemas.deliveries import encode_record  # noqa: PLC0415 - only here

        topics = topics_of(KafkaSettings(), StreamSettings())
        names = {
            DeliveryFrom: topics.delivery_from,
            DeliveryTo: topics.delivery_to,
            Rejection: topics.noqueue,
            TlsSession: topics.tls_session,
        }
        batch = Batch()
        for record in records:
            batch.add(topics, names[type(record)].name, b"", encode_record(record))
        return batch


@pytest.fixture
def rows() -> Rows:
    return Rows()


@pytest.fixture
def topics() -> Topics:
    return topics_of(KafkaSettings(), StreamSettings())


@pytest.fixture
def settings(migrated: DatabaseSettings) -> Settings:
    return Settings(database=migrated)


@pytest.fixture
def writer(settings: Settings) -> Iterator[Writer]:
    writer = Writer(settings)
    yield writer
    writer.close()


@pytest.fixture
def query(settings: Settings) -> Iterator[Query]:
    """Give a function that runs a statement and returns its rows."""
    connection = connect(settings.database)
    connection.autocommit = True

    def run(statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with connection.cursor() as cursor:
            cursor.execute(statement, parameters or None)
            return cursor.fetchall() if cursor.description else []

    yield run
    connection.close()
