"""`check` says where settings let a network read what passes, and nothing where there is no network."""

from typing import Any

import pytest

from journal_postfix.checking.tls import certificate_findings, database_encryption
from schemas.settings import DatabaseSettings, KafkaSettings


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"bootstrap_servers": "127.0.0.1:9092, localhost:9092"}, None),
        ({"bootstrap_servers": "[::1]:9092"}, None),
        ({"bootstrap_servers": "localhost:9092,kafka.example.org:9092"}, ": mail data may be read"),
        ({"bootstrap_servers": "k:1", "security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "PLAIN",
          "sasl_username": "u", "sasl_password": "p"}, ": passwords and mail data may be read"),
    ],
)  # fmt: skip
def test_a_kafka_on_the_network_without_tls_is_told(settings: dict[str, Any], told: str | None) -> None:
    found = [finding.text for finding in certificate_findings(KafkaSettings.model_validate(settings))]
    assert (told is None) == (found == [])
    assert told is None or told in found[0]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"host": "db.example.org"}, None),
        ({"host": "/run/postgresql", "sslmode": "disable"}, None),
        ({"host": "localhost", "sslmode": "prefer"}, None),
        ({"host": "db.example.org", "sslmode": "require"}, "nobody checks"),
        ({"host": "db.example.org", "sslmode": "prefer"}, "may be read and changed"),
    ],
)
def test_a_database_on_the_network_that_is_not_verified_is_told(settings: dict[str, Any], told: str | None) -> None:
    found = [finding.text for finding in database_encryption(DatabaseSettings.model_validate(settings))]
    assert (told is None) == (found == [])
    assert told is None or told in found[0]
