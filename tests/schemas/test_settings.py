"""Settings come from a file, the environment and flags; what is wrong is named, and no secret is."""

import os
import re
from pathlib import Path
from ssl import DefaultVerifyPaths
from typing import Any

import pytest
from pydantic import SecretStr

from schemas.errors import ConfigurationError
from schemas.kafka import client_config
from schemas.settings import DatabaseSettings, KafkaSettings, load
from schemas.trust import system_authorities


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


@pytest.mark.parametrize("text", ["canary", "- canary: 1", "1", "{1: canary}"])
def test_a_file_without_names_is_an_error(tmp_path: Path, text: str) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(f"{text}\n")
    with pytest.raises(ConfigurationError, match=r"settings\.yaml.* holds no settings by their names") as error:
        load(file)
    assert "canary" not in str(error.value)


@pytest.mark.parametrize("text", ["", "---", "kafka:\nmetrics: # none yet"])
def test_a_file_or_a_section_that_says_nothing_changes_nothing(tmp_path: Path, text: str) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(f"{text}\n")
    assert load(file).model_dump() == load().model_dump()


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("PRODUCER__PROGRAMS", "canary", "producer.programs"),
        ("PRODUCER__UNITS", '["canary"', "producer.units"),
        ("KAFKA", "{partitions: 'canary'}", "kafka"),
    ],
)
def test_what_the_environment_should_give_as_json_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, named: str
) -> None:
    monkeypatch.setenv("JOURNAL_POSTFIX_METRICS__LISTEN", "no JSON, nor has it to be")
    monkeypatch.setenv(f"JOURNAL_POSTFIX_{name}", value)
    with pytest.raises(ConfigurationError, match=f"^wrong settings: {re.escape(named)}: .*JSON") as error:
        load()
    assert "canary" not in str(error.value)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("JOURNAL_POSTFIX_RETENTION_DELIVERIES_DAYS", "JOURNAL_POSTFIX_RETENTION__DELIVERIES_DAYS"),
        ("JOURNAL_POSTFIX__KAFKA__BOOTSTRAP_SERVERS", "JOURNAL_POSTFIX_KAFKA__BOOTSTRAP_SERVERS"),
        ("journal_postfix_kafka__sasl__password", "JOURNAL_POSTFIX_KAFKA__SASL_PASSWORD"),
        ("JOURNAL_POSTFIX_LOGLEVEL", "JOURNAL_POSTFIX_LOG_LEVEL"),
    ],
)
def test_a_variable_whose_underscores_are_not_right_is_not_passed_over(
    monkeypatch: pytest.MonkeyPatch, given: str, meant: str
) -> None:
    monkeypatch.setenv(given, "canary")
    with pytest.raises(ConfigurationError, match=f"^wrong settings: .*{meant}") as error:
        load()
    assert "canary" not in str(error.value)


def test_a_variable_that_is_like_no_setting_is_somebody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("JOURNAL_POSTFIX_HEARTBEAT_FILE", "JOURNAL_POSTFIX_SERVICE_HOST", "JOURNAL_POSTFIX_PORT"):
        monkeypatch.setenv(name, "/tmp/alive")
    load()


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
    kafka = KafkaSettings(
        bootstrap_servers="k:9093", security_protocol="SASL_SSL", sasl_username="u", sasl_password=SecretStr("p")
    )
    config = client_config(kafka, "test")
    assert config["ssl.endpoint.identification.algorithm"] == "https"
    assert config["sasl.username"] == "u"


@pytest.mark.parametrize("password", ["*canary", "!canary x", "&canary [", "'canary", "{canary", "%canary", "@canary"])
def test_what_is_no_yaml_is_named_by_its_place(tmp_path: Path, password: str) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(f"kafka:\n  sasl_password: {password}\n")
    with pytest.raises(
        ConfigurationError, match=r"settings\.yaml(, line \d, column \d+)? is no YAML|wrong settings"
    ) as error:
        load(file)
    assert "canary" not in str(error.value)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"kafka": {"security_protocol": "SASL_SSL"}}, "needs sasl_username"),
        ({"kafka": {"security_protocol": "SASL_SSL", "sasl_username": "u"}}, "needs sasl_password_file"),
        ({"kafka": {"ssl_key_file": "k"}}, "needs ssl_certificate_file"),
        ({"database": {"sslcert": "c"}}, "sslcert and sslkey belong together"),
        ({"database": {"sslmode": "verify-ca"}}, "verify-ca needs sslrootcert"),
    ],
)
def test_half_of_a_secret_or_of_trust_is_an_error(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        load(None, settings)


def test_an_empty_secret_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(ConfigurationError, match="is empty"):
        KafkaSettings(sasl_password_file=tmp_path / "empty").sasl_secret()


def test_the_systems_authorities_are_found_where_python_knows_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = (tmp_path / "none.pem", tmp_path / "usual.pem")
    monkeypatch.setattr("ssl.get_default_verify_paths", lambda: DefaultVerifyPaths(None, None, "", "", "", ""))
    with pytest.raises(ConfigurationError, match=r"ca-certificates, or set kafka\.ssl_ca_file"):
        system_authorities("kafka.ssl_ca_file", usual)
    usual[1].touch()
    assert system_authorities("kafka.ssl_ca_file", usual) == usual[1]
