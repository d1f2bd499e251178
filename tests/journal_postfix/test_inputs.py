import os
from pathlib import Path

import pytest
from pydantic import SecretStr

from journal_postfix.inputs import Inputs, default_inputs, stages_of
from journal_postfix.supervision.environment import environment_of
from schemas.errors import ConfigurationError
from schemas.settings import DatabaseSettings, KafkaSettings, ProducerSettings, Settings, load


def test_this_hosts_mail_log_is_read_when_nothing_is_given(tmp_path: Path) -> None:
    log = tmp_path / "mail.log"
    log.touch()
    assert default_inputs(logs=(tmp_path / "maillog", log), journals=()).files == (log,)


def test_without_anything_to_read_the_error_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"--logfile FILE, --journal or --stdin"):
        default_inputs(logs=(tmp_path / "mail.log",), journals=(tmp_path / "journal",))


def test_each_kind_of_input_has_a_producer_before_stream_and_sink() -> None:
    inputs = Inputs(files=(Path("/a"), Path("/b")), journal=True, stdin=True, year=2025)
    stages = stages_of(Settings(), inputs, follow=True)
    assert [stage.name for stage in stages] == ["produce-logfile", "produce-journal", "produce-stdin", "stream", "sink"]
    assert stages[0].command[3:] == ("produce", "logfile", "--report", "--year", "2025", "--follow", "--", "/a", "/b")
    assert stages[1].command[-1] == "--follow"


def test_a_pipe_that_died_is_not_read_on() -> None:
    stages = stages_of(Settings(), Inputs(stdin=True), follow=False)
    assert [(s.name, s.restart) for s in stages] == [("produce-stdin", False), ("stream", True), ("sink", True)]


def test_reading_to_the_end_is_finite_and_following_is_not() -> None:
    assert stages_of(Settings(), Inputs(journal=True), follow=False)[0].finite
    assert not stages_of(Settings(), Inputs(journal=True), follow=True)[0].finite


def test_a_stages_process_gets_the_same_settings_through_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(
        kafka=KafkaSettings(bootstrap_servers="kafka:9092", sasl_password=SecretStr('hun ter"2'), partitions=3),
        database=DatabaseSettings(host="/run/db", password_file=Path("/etc/secret")),
        producer=ProducerSettings(programs=("postfix*", "mta?"), timezone="Europe/Berlin"),
        data_dir=Path("/srv/x"),
        log_format="json",
    )
    inherited = {**os.environ, "JOURNAL_POSTFIX_KAFKA__PARTITIONS": "99", "journal_postfix_log_level": "error"}
    environment = environment_of(settings, inherited)
    assert environment["PATH"] == os.environ["PATH"]
    for name in os.environ:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    received = load()
    assert received.model_dump() == settings.model_dump()
    assert received.kafka.sasl_secret() == 'hun ter"2'
