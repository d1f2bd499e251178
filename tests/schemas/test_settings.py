"""Settings come from a file, the environment and flags; what is wrong is named, and no secret is."""

import os
from pathlib import Path

import pytest

from schemas.errors import ConfigurationError
from schemas.kafka import client_config
from schemas.settings import DatabaseSettings, KafkaSettings, load


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("JOURNAL_POSTFIX_")]:
        monkeypatch.delenv(name)


def test_flags_win_over_the_environment_and_that_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("kafka: {partitions: 3, topic_prefix: a., replication_factor: 2}\n")
    monkeypatch.setenv("JOURNAL_POSTFIX_KAFKA__TOPIC_PREFIX", "b.")
    monkeypatch.setenv("JOURNAL_POSTFIX_KAFKA__PARTITIONS", "4")

    kafka = load(file, {"kafka": {"partitions": 5}}).kafka
    assert (kafka.partitions, kafka.topic_prefix, kafka.replication_factor) == (5, "b.", 2)


def test_a_wrong_setting_is_named_without_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOURNAL_POSTFIX_KAFKA__PARTITIONS", "canary")
    with pytest.raises(ConfigurationError, match=r"kafka\.partitions") as error:
        load()
    assert "canary" not in str(error.value)


def test_an_unknown_setting_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("kafka: {partitons: 3}\n")
    with pytest.raises(ConfigurationError, match="partitons"):
        load(file)


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="does not exist"):
        load(tmp_path / "none.yaml")


def test_a_secret_comes_from_its_file_and_is_not_printed(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("canary\n")
    database = DatabaseSettings(host="localhost", password_file=file)
    assert database.connection_parameters()["password"] == "canary"
    assert "canary" not in repr(DatabaseSettings.model_validate({"password": "canary"}))


def test_a_secret_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot read the database password"):
        DatabaseSettings(password_file=tmp_path / "none").secret()


@pytest.mark.parametrize(
    ("host", "sslmode"), [("localhost", "prefer"), ("/run/postgresql", "prefer"), ("db.example.com", "verify-full")]
)
def test_a_database_on_the_network_is_checked(host: str, sslmode: str) -> None:
    assert DatabaseSettings(host=host).connection_parameters()["sslmode"] == sslmode


def test_a_broker_with_tls_is_checked() -> None:
    kafka = KafkaSettings(bootstrap_servers="k:9093", security_protocol="SASL_SSL", sasl_username="u")
    config = client_config(kafka, "test")
    assert config["ssl.endpoint.identification.algorithm"] == "https"
    assert config["sasl.username"] == "u"
