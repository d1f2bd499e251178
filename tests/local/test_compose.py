"""The Compose file is valid, safe by default, and says what the program understands."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from journal_postfix.application import application
from schemas.settings import load

ROOT = Path(__file__).parents[2]
STAGES = ("topics", "migrate", "producer", "stream", "sink")
ONCE = ("topics", "migrate")


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    """Give the services as Compose itself understands them."""
    command = shutil.which("docker-compose")
    if command is None:
        reason = "docker-compose is not installed"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    done = subprocess.run(
        [command, "--file", ROOT / "docker-compose.yml", "config"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[str, Any]] = yaml.safe_load(done.stdout)["services"]
    return found


def test_every_part_is_there(services: dict[str, dict[str, Any]]) -> None:
    assert set(services) == {"kafka", "database", *STAGES}


def test_ports_are_published_on_loopback_only(services: dict[str, dict[str, Any]]) -> None:
    published = [port for service in services.values() for port in service.get("ports", [])]
    assert len(published) == 2
    assert all(str(port).startswith("127.0.0.1:") for port in published)


def test_images_are_pinned_to_a_version(services: dict[str, dict[str, Any]]) -> None:
    for service in services.values():
        assert re.fullmatch(r"[a-z/-]+:\d[\w.-]*", service["image"])
    bases = re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert bases == ["python:3.12-slim"] * 2


def test_every_service_has_a_health_check(services: dict[str, dict[str, Any]]) -> None:
    in_image = "HEALTHCHECK" in (ROOT / "Dockerfile").read_text()
    for name, service in services.items():
        assert "healthcheck" in service or (name in STAGES and in_image), name


def test_stages_wait_for_topics_and_tables(services: dict[str, dict[str, Any]]) -> None:
    assert services["topics"]["depends_on"] == {"kafka": {"condition": "service_healthy"}}
    assert services["migrate"]["depends_on"] == {"database": {"condition": "service_healthy"}}
    done = {"condition": "service_completed_successfully"}
    assert services["producer"]["depends_on"] == services["stream"]["depends_on"] == {"topics": done}
    assert services["sink"]["depends_on"] == {"migrate": done, "topics": done}


@pytest.mark.parametrize("name", STAGES)
def test_stages_run_without_rights_they_do_not_need(services: dict[str, dict[str, Any]], name: str) -> None:
    service = services[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["restart"] == ("on-failure" if name in ONCE else "unless-stopped")


def test_image_runs_as_an_ordinary_user_with_pinned_packages() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert re.search(r"^USER [1-9]\d*$", text, re.MULTILINE)
    assert "--require-hashes" in text


def test_mail_log_is_mounted_read_only(services: dict[str, dict[str, Any]]) -> None:
    [volume] = services["producer"]["volumes"]
    assert str(volume).endswith(":ro")


@pytest.mark.parametrize("name", STAGES)
def test_commands_exist(services: dict[str, dict[str, Any]], name: str) -> None:
    words = [word for word in services[name]["command"] if not word.startswith("/")]
    result = CliRunner().invoke(application, [*words, "--help"])
    assert result.exit_code == 0, result.output
    assert "Usage: " in result.output


@pytest.mark.parametrize("name", STAGES)
def test_settings_are_understood_and_secrets_come_from_files(
    services: dict[str, dict[str, Any]], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {k: v for k, v in services[name]["environment"].items() if k.startswith("JOURNAL_POSTFIX_")}
    for variable, value in environment.items():
        monkeypatch.setenv(variable, str(value))
    settings = load()
    if name != "migrate":
        assert settings.kafka.bootstrap_servers == "kafka:19092"
    if name in {"migrate", "sink"}:
        assert (settings.database.host, settings.database.user) == ("database", "journal_postfix")
        assert settings.database.password is None
        assert settings.database.password_file == Path("/run/secrets/database_password")
        assert [secret["source"] for secret in services[name]["secrets"]] == ["database_password"]
    else:
        assert "secrets" not in services[name]


def test_no_secret_is_written_in_the_file() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    assert not re.search(r"PASSWORD:", text)
    assert services_password_file(text) == "/run/secrets/database_password"


def services_password_file(text: str) -> str:
    match = re.search(r"POSTGRES_PASSWORD_FILE: (\S+)", text)
    assert match is not None
    return match[1]


def test_only_what_the_image_is_built_from_goes_to_the_engine() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    sent = {line[1:] for line in lines if line.startswith("!")}
    assert {"pyproject.toml", "requirements.lock", "journal_postfix", "schemas"} <= sent
    assert all((ROOT / name).exists() for name in sent)
