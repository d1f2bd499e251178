"""The page of the settings knows all of them, and what it says of their ways is so."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
import typer

from journal_postfix.application import application
from journal_postfix.settings_flags import PANEL, nested
from journal_postfix.settings_page import PAGE, Entry, page, sections
from schemas.errors import ConfigurationError
from schemas.settings import Settings, load

ENTRIES = [entry for _, _, entries in sections() for entry in entries]


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("JOURNAL_POSTFIX_")]:
        monkeypatch.delenv(name)


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "make schemas"


def test_the_page_is_the_same_for_every_user_of_every_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    before = page()
    monkeypatch.setenv("HOME", "/home/canary")
    monkeypatch.setenv("XDG_DATA_HOME", "/srv/canary")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert page() == before


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_a_setting_says_more_than_its_name(entry: Entry) -> None:
    said = set(re.findall(r"[a-z]+", (entry.field.description or "").lower()))
    assert len(said - set(re.findall(r"[a-z]+", entry.name))) >= 4, entry.field.description


def test_every_setting_is_in_the_page_once_with_its_names() -> None:
    rows = re.findall(r"^\| `([a-z_.]+)` \| `(JOURNAL_POSTFIX_\w+)` \|", page(), re.MULTILINE)
    model: dict[str, Any] = Settings().model_dump()
    names = [
        f"{name}.{part}" if part else name
        for name, value in model.items()
        for part in (value if isinstance(value, dict) else ("",))
    ]
    assert sorted(name for name, _ in rows) == sorted(names)


TOGETHER = {
    "kafka.ssl_key_file": "JOURNAL_POSTFIX_KAFKA__SSL_CERTIFICATE_FILE",
    "database.sslcert": "JOURNAL_POSTFIX_DATABASE__SSLKEY",
    "database.sslkey": "JOURNAL_POSTFIX_DATABASE__SSLCERT",
}
"""Settings that are wrong without another one."""


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_a_variable_is_that_of_its_setting(entry: Entry, monkeypatch: pytest.MonkeyPatch) -> None:
    if (other := TOGETHER.get(entry.name)) is not None:
        monkeypatch.setenv(other, "x")
    values = ("7", "9999", "2000000", "PLAIN", "SSL", "require", "json", "debug", "true", '["x"]', "UTC", "x")
    for value in values:  # one of them is right for it, and not its default
        monkeypatch.setenv(entry.variable, value)
        try:
            found: Any = load()
        except ConfigurationError:
            continue
        for part in entry.path:
            found = getattr(found, part)
        assert found != entry.field.default
        return
    pytest.fail(f"{entry.variable} takes none of {values}")


def test_every_flag_for_settings_is_in_the_page_beside_the_setting_that_it_sets() -> None:
    rows = re.findall(r"^\| `([a-z_.]+)` \| `\w+` \| `(--[a-z-]+)` \|", page(), re.MULTILINE)
    beside = {flag: name for name, flag in rows}
    command = typer.main.get_command(application).commands["up"]  # type: ignore[attr-defined]
    flags = [p for p in command.params if p.rich_help_panel == PANEL or p.name == "timezone"]
    assert len(flags) > 5
    for flag in flags:
        name = flag.opts[0]
        if name != "--config":
            [(section, value)] = nested({flag.name: "x"}).items()
            expected = f"{section}.{next(iter(value))}" if isinstance(value, dict) else section
            assert beside.pop(name) == expected
    assert not beside
    assert "--config FILE" in page()


def test_the_example_does_what_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [example] = re.findall(r"```yaml\n(.*?)```", page(), re.DOTALL)
    [shell] = re.findall(r"```sh\n(.*?)```", page(), re.DOTALL)
    file = tmp_path / "settings.yaml"
    file.write_text(example)
    for name, value in re.findall(r"^export (\w+)=(.*)$", shell, re.MULTILINE):
        monkeypatch.setenv(name, value)
    [servers] = re.findall(r"--bootstrap-servers (\S+)", shell)
    settings = load(file, nested({"bootstrap_servers": servers}))
    kafka = settings.kafka
    assert (kafka.bootstrap_servers, kafka.partitions, kafka.topic_prefix) == ("localhost:9092", 32, "mail.")
    assert (str(kafka.sasl_password_file), settings.producer.programs) == (
        "/etc/journal-postfix/kafka-password", ("postfix*", "mailer"),
    )  # fmt: skip


def test_lists_and_sections_in_the_environment_are_json_as_the_page_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in re.findall(r"`(JOURNAL_POSTFIX_\w+)='([^']+)'`", page()):
        monkeypatch.setenv(name, value)
    settings = load()
    assert (settings.producer.programs, settings.kafka.partitions) == (("postfix*", "mailer"), 32)
