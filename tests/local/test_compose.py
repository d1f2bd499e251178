"""The Compose file is valid, safe by default, and says what the program understands."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from journal_postfix.application import application
from schemas.settings import load

ROOT = Path(__file__).parents[2]
STAGES = ("topics", "roles", "migrate", "producer", "stream", "sink", "purge", "reader")
ONCE = ("topics", "roles", "migrate", "reader")
ROLES = {
    "roles": "journal_postfix_administrator",
    "migrate": "journal_postfix_migrator",
    "sink": "journal_postfix_sink",
    "purge": "journal_postfix_migrator",
    "reader": "journal_postfix_reader",
}
WITH_KAFKA = {"topics", "producer", "stream", "sink"}


@pytest.fixture(scope="module")
def compose() -> Callable[..., Any]:
    """Give what Compose itself makes of the file, with an environment."""
    command = shutil.which("docker-compose")
    if command is None:
        reason = "docker-compose is not installed"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)

    def understood(**environment: str) -> Any:
        done = subprocess.run(
            [command, "--file", ROOT / "docker-compose.yml", "config"],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], **environment},
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return yaml.safe_load(done.stdout)

    return understood


def test_its_first_lines_name_every_variable() -> None:
    comment, _, rest = (ROOT / "docker-compose.yml").read_text(encoding="utf-8").partition("\nx-logging:")
    variables = set(re.findall(r"\$\{([A-Z_]+)", rest))
    assert len(variables) > 15
    assert sorted(name for name in variables if not re.search(rf"\b{name}\b", comment)) == []


@pytest.fixture(scope="module")
def services(compose: Callable[..., Any]) -> dict[str, dict[str, Any]]:
    """Give the services as Compose itself understands them."""
    found: dict[str, dict[str, Any]] = compose()["services"]
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


def test_the_image_s_own_check_looks_at_what_a_stage_touches() -> None:
    text = (ROOT / "Dockerfile").read_text()
    [file] = re.findall(r"JOURNAL_POSTFIX_HEARTBEAT_FILE=(\S+)", text)
    assert f"$(find {file} -mmin -2)" in text.partition("HEALTHCHECK")[2]


def test_stages_wait_for_topics_and_tables(services: dict[str, dict[str, Any]]) -> None:
    done = {"condition": "service_completed_successfully"}
    assert services["producer"]["depends_on"] == services["stream"]["depends_on"] == {"topics": done}
    assert services["sink"]["depends_on"] == {"migrate": done, "topics": done}
    assert services["purge"]["depends_on"] == {"migrate": done}


def test_old_mail_is_purged_every_day(compose: Callable[..., Any], tmp_path: Path) -> None:
    """Also after a day on which that failed."""
    service = compose(KEEP_DAYS="30", PSEUDONYMISE_DAYS="7")["services"]["purge"]
    settings = {name: str(value) for name, value in service["environment"].items() if "RETENTION" in name}
    assert sorted(settings.values()) == ["30", "30", "30", "7"]
    (tmp_path / "journal-postfix").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/said; exit 1\n')
    (tmp_path / "sleep").write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/slept; test $(wc -l < {tmp_path}/slept) -lt 3 || kill $PPID\n'
    )
    for program in ("sleep", "journal-postfix"):
        (tmp_path / program).chmod(0o755)
    command = [word.replace("$$", "$") for word in (*service["entrypoint"], *service["command"])]
    subprocess.run(command, env={"PATH": f"{tmp_path}:{os.environ['PATH']}"}, timeout=60, check=False)
    assert (tmp_path / "said").read_text().splitlines() == ["purge"] * 3
    assert (tmp_path / "slept").read_text().splitlines() == ["86400"] * 3


@pytest.mark.parametrize("name", ["topics", "roles", "migrate"])
@pytest.mark.parametrize(("fails", "expected"), [(0, (0, 1)), (3, (0, 4)), (99, (1, 40))])
def test_topics_and_tables_wait_for_their_servers(
    services: dict[str, dict[str, Any]], tmp_path: Path, name: str, fails: int, expected: tuple[int, int]
) -> None:
    (tmp_path / "sleep").write_text("#!/bin/sh\n")
    (tmp_path / "journal-postfix").write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/said; test $(wc -l < {tmp_path}/said) -gt {fails}\n'
    )
    for program in ("sleep", "journal-postfix"):
        (tmp_path / program).chmod(0o755)
    service = services[name]
    command = [word.replace("$$", "$") for word in (*service["entrypoint"], *service["command"])]
    done = subprocess.run(command, env={"PATH": f"{tmp_path}:{os.environ['PATH']}"}, check=False)
    said = (tmp_path / "said").read_text().splitlines()
    assert (done.returncode, len(said)) == expected
    assert set(said) == {" ".join(service["command"])}


def test_kafka_and_postgres_may_be_your_own(compose: Callable[..., Any]) -> None:
    kafka = {"KAFKA": "k1:9093", "KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_SASL_USERNAME": "jp"}
    database = {"DATABASE_HOST": "db", "DATABASE_SSLMODE": "verify-full"}
    services = compose(**kafka, **database, STREAM_WORKERS="4", SINK_WORKERS="2")["services"]
    assert {name for name, service in services.items() if service.get("profiles") == ["servers"]} == {
        "kafka", "database", "roles",
    }  # fmt: skip
    assert not any({"kafka", "database", "roles"} & set(service.get("depends_on", {})) for service in services.values())
    said = services["sink"]["environment"]
    assert said["JOURNAL_POSTFIX_KAFKA__BOOTSTRAP_SERVERS"] == "k1:9093"
    assert said["JOURNAL_POSTFIX_KAFKA__SECURITY_PROTOCOL"] == "SASL_SSL"
    assert (said["JOURNAL_POSTFIX_DATABASE__HOST"], said["JOURNAL_POSTFIX_DATABASE__SSLMODE"]) == ("db", "verify-full")
    assert (services["stream"]["scale"], services["sink"]["scale"]) == (4, 2)


@pytest.mark.parametrize("name", STAGES)
def test_stages_run_without_rights_they_do_not_need(services: dict[str, dict[str, Any]], name: str) -> None:
    service = services[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["restart"] == ("no" if name in ONCE else "unless-stopped")


def test_image_runs_as_an_ordinary_user_with_pinned_packages() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert re.search(r"^USER [1-9]\d*$", text, re.MULTILINE)
    assert "--require-hashes" in text


def test_mail_log_is_mounted_read_only(services: dict[str, dict[str, Any]]) -> None:
    [volume] = services["producer"]["volumes"]
    assert str(volume).endswith(":ro")


@pytest.mark.parametrize("name", STAGES)
def test_commands_exist(services: dict[str, dict[str, Any]], name: str) -> None:
    words = [word for word in services[name]["command"] if not word.startswith("/") and word != "--passwords"]
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
    given = [secret["source"] for secret in services[name]["secrets"]]
    if name in WITH_KAFKA:
        assert settings.kafka.bootstrap_servers == "kafka:19092"
        assert settings.kafka.sasl_password is None
        assert settings.kafka.sasl_password_file == Path("/run/secrets/kafka_password")
        assert given[0] == "kafka_password"
    if name in ROLES:
        assert (settings.database.host, settings.database.user) == ("database", ROLES[name])
        assert settings.database.password is None
        assert settings.database.password_file == Path("/run/secrets") / ROLES[name]
        assert ROLES[name] in given
    allowed = {"kafka_password"} if name in WITH_KAFKA else set()
    assert set(given) - allowed == (
        set(ROLES.values()) if name == "roles" else {ROLES[name]} if name in ROLES else set()
    )


def test_no_secret_is_written_in_the_file() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    assert not re.search(r"PASSWORD:", text)
    assert services_password_file(text) == "/run/secrets/journal_postfix_administrator"


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
