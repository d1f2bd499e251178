"""PostgreSQL over TLS: the right server is used, any other is refused in one line, and roles do their work only."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from certificates import Authority
from typer.testing import CliRunner, Result

from journal_postfix.application import application
from schemas.errors import ConfigurationError
from schemas.settings import DatabaseSettings
from sinks.connecting import connect

pytestmark = pytest.mark.postgres


@pytest.fixture
def invoke(tmp_path: Path) -> Callable[..., Result]:
    """Give a way to run a command with database settings."""

    def invoke(database: dict[str, Any], *arguments: str) -> Result:
        file = tmp_path / "settings.yaml"
        file.write_text(json.dumps({"database": database}))
        return CliRunner().invoke(application, [*arguments, "--config", str(file)])

    return invoke


@pytest.mark.parametrize("role", ["migrator", "sink", "reader", "certified"])
def test_each_role_gets_in_over_verified_tls(tls_database: Any, role: str) -> None:
    connection = connect(DatabaseSettings.model_validate(tls_database.settings(role)))
    assert (connection.info.ssl_in_use, connection.info.user) == (True, f"jp_{role}")
    connection.close()


def test_commands_work_as_the_role_that_they_are_for_and_as_no_other(
    tls_database: Any, invoke: Callable[..., Result]
) -> None:
    migrator, reader = tls_database.settings("migrator"), tls_database.settings("reader")
    assert invoke(migrator, "migrate").output == "the tables are up to date\n"
    for command in (["deliveries", "--format=csv"], ["rejects", "--format=csv"]):
        assert "recipient" in invoke(reader, *command).stdout
    assert "no message has the queue id" in invoke(reader, "trace", "4F0A12C9D3").stderr
    assert invoke(reader, "check", "--stage=read").exit_code == 0
    for role in ("reader", "sink"):
        refused = invoke(tls_database.settings(role), "migrate", "--grant-to-sink=jp_reader")
        assert refused.exit_code == 2
        assert "permission denied" in refused.output or "may not" in refused.output, refused.output
        assert invoke(tls_database.settings(role), "purge", "--older-than=1d").exit_code == 2


def _another_authority(tmp_path: Path) -> dict[str, Any]:
    return {"sslrootcert": str(Authority(tmp_path, "another").file)}


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (_another_authority, "certificate verify failed"),
        (lambda _: {"host": "127.0.0.1"}, 'server certificate for "localhost" does not match host name "127.0.0.1"'),
        (lambda _: {"sslmode": "disable"}, "no encryption"),
        (lambda folder: {"sslrootcert": str(folder / "none.pem")}, "none.pem"),
        (lambda folder: {"password_file": str(folder / "none")}, "cannot read the database password"),
    ],
)
def test_what_is_not_as_it_should_be_is_one_line_and_wrong_use(
    tls_database: Any, invoke: Callable[..., Result], tmp_path: Path, changed: Any, told: str
) -> None:
    for role, command in (("reader", ["deliveries"]), ("migrator", ["migrate"])):
        result = invoke(tls_database.settings(role, **changed(tmp_path)), *command)
        assert (result.exit_code, len(result.output.splitlines())) == (2, 1), result.output
        assert told in result.output
        assert "canary" not in result.output


def test_a_wrong_password_is_not_said(tls_database: Any, invoke: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "wrong").write_text("wrong-canary")
    result = invoke(tls_database.settings("reader", password_file=str(tmp_path / "wrong")), "deliveries")
    assert result.exit_code == 2
    assert "password authentication failed" in result.output
    assert "canary" not in result.output


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_a_client_key_has_to_be_its_users_alone(tls_database: Any, tmp_path: Path, mode: int) -> None:
    settings = tls_database.settings("certified")
    key = tmp_path / "key"
    key.write_bytes(Path(settings["sslkey"]).read_bytes())
    key.chmod(mode)
    given = DatabaseSettings.model_validate(settings | {"sslkey": str(key)})
    if mode == 0o600:
        connect(given).close()
    else:
        with pytest.raises(ConfigurationError, match=r"has group or world access.*database\.sslkey"):
            connect(given)


def test_a_role_by_certificate_needs_its_own(tls_database: Any) -> None:
    other = tls_database.authority.client("somebody")
    for changed in ({"sslcert": None, "sslkey": None}, {"sslcert": str(other.certificate), "sslkey": str(other.key)}):
        with pytest.raises(ConfigurationError, match="certificate"):
            connect(DatabaseSettings.model_validate(tls_database.settings("certified", **changed)))


@pytest.fixture
def without_tls(tls_database: Any) -> Iterator[None]:
    """Have the server do without TLS for the time of a test."""

    def tell(value: str) -> None:
        connection = connect(tls_database.administrator)
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER SYSTEM SET ssl = {value}")
            cursor.execute("SELECT pg_reload_conf()")
            while cursor.execute("SHOW ssl") or cursor.fetchone() != (value,):
                pass
        connection.close()

    tell("off")
    yield
    tell("on")


@pytest.mark.usefixtures("without_tls")
def test_a_server_without_tls_is_refused(tls_database: Any) -> None:
    with pytest.raises(ConfigurationError, match="server does not support SSL"):
        connect(DatabaseSettings.model_validate(tls_database.settings("reader")))


def test_the_systems_authorities_are_those_that_are_trusted_by_default(
    tls_database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = DatabaseSettings.model_validate(tls_database.settings("reader", sslrootcert=None))
    with pytest.raises(ConfigurationError, match="certificate verify failed"):
        connect(settings)
    monkeypatch.setenv("SSL_CERT_FILE", str(tls_database.authority.file))
    connect(settings).close()
