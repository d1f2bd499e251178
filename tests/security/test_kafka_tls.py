"""The whole way of a log over a Kafka with TLS, logged in by password or certificate; and what is not let in."""

import json
import os
import subprocess
import time
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml
from certificates import KEY_PASSWORD, Authority
from typer.testing import CliRunner

from journal_postfix.access import WORK, rules
from journal_postfix.application import application
from schemas.settings import DatabaseSettings, Settings
from sinks.connecting import connect

pytestmark = pytest.mark.kafka

SAMPLE = str(files("journal_postfix") / "data/sample.log")
Run = Callable[..., Any]


def said(process: Any) -> str:
    return str(process.log.read_text())


def stopped(process: Any) -> str:
    """End *process* as systemd does; return all that it said."""
    process.terminate()
    assert process.wait(60) == 0, said(process)
    return said(process)


def rows(database: DatabaseSettings, statement: str) -> list[Any]:
    connection = connect(database)
    with connection, connection.cursor() as cursor:
        cursor.execute(statement)
        found = cursor.fetchall()
    connection.close()
    return found


@pytest.mark.postgres
@pytest.mark.parametrize(("listener", "role"), [("SCRAM", "sink"), ("MTLS", "certified")])
def test_a_log_comes_into_the_database_with_least_rights_at_every_step(
    tls: Any, tls_database: Any, run: Run, listener: str, role: str
) -> None:
    def settings(user: str, **more: Any) -> dict[str, Any]:
        return {
            "kafka": tls.kafka(listener, user),
            "stream": {"application": f"app-{listener}", "session_timeout_seconds": 6},
            "sink": {"group": f"sink-{listener}"},
            "log_level": "debug",
            **more,
        }

    for user in WORK:
        tls.broker.allow(user, rules(Settings.model_validate(settings(user)), user))
    by_sink = settings("sink", database=tls_database.settings(role))
    reader = DatabaseSettings.model_validate(tls_database.settings("reader"))
    topics = run(settings("topics"), "topics")
    assert topics.wait(60) == 0, said(topics)
    produce = run(settings("produce"), "produce", "logfile", "--year=2026", "--timezone=UTC", SAMPLE)
    stream, sink = run(settings("stream"), "stream"), run(by_sink, "sink")
    assert produce.wait(60) == 0, said(produce)
    deadline = time.monotonic() + 120
    lines = Path(SAMPLE).read_bytes().count(b"\n")
    while True:
        stats = CliRunner().invoke(application, _with(settings("operate"), tls.folder, "stats", "--format=json"))
        positions = rows(reader, f"SELECT sum(next_offset) FROM sink_positions WHERE topic LIKE '{listener.lower()}.%'")
        if stats.exit_code == 0 and json.loads(stats.stdout)["lines"] == lines and positions[0][0]:
            break
        assert time.monotonic() < deadline, stats.output + said(stream) + said(sink)
        assert stream.poll() is sink.poll() is None, said(stream) + said(sink)
        time.sleep(0.2)
    looks = [
        CliRunner().invoke(application, _with(user, tls.folder, *command))
        for user, *command in (
            (settings("produce"), "check", "--stage=produce"),
            (settings("stream"), "check", "--stage=stream"),
            (by_sink, "check", "--stage=sink"),
            (settings("operate"), "dead-letters", "list"),
            (settings("operate"), "top", "--once"),
        )
    ]
    visible = subprocess.run(["ps", "axww", "-o", "args"], check=True, capture_output=True, text=True).stdout
    everything = [stopped(stream), stopped(sink)]
    assert rows(reader, "SELECT count(*) > 0 FROM deliveries") == [(True,)]
    assert [look.exit_code for look in looks] == [0] * len(looks), [look.output for look in looks]
    for text in (visible, *everything, *map(said, (topics, produce)), *(look.output for look in looks)):
        assert "canary" not in text
        assert "uthorization failed" not in text
    # What one may do, another can not.
    refused = CliRunner().invoke(application, _with(settings("sink"), tls.folder, "stats"))
    assert (refused.exit_code, "acls operate" in refused.stderr) == (2, True), refused.output


def _with(settings: dict[str, Any], folder: Path, *arguments: str) -> list[str]:
    file = folder / f"settings-{os.getpid()}.yaml"
    file.write_text(yaml.safe_dump(settings))
    return [*arguments, "--config", str(file)]


Changes = Callable[[Any, Path], dict[str, Any]]


def _file(folder: Path, text: str) -> str:
    file = folder / "secret"
    file.write_text(text)
    return str(file)


def _of_another_authority(_: Any, folder: Path) -> dict[str, Any]:
    pair = Authority(folder).client("produce")
    return {"ssl_certificate_file": str(pair.certificate), "ssl_key_file": str(pair.key)}


def _expired(tls: Any, _: Path) -> dict[str, Any]:
    pair = tls.authority.client("produce", expired=True)
    return {"ssl_certificate_file": str(pair.certificate), "ssl_key_file": str(pair.key)}


def _encrypted(tls: Any, folder: Path, password: str | None) -> dict[str, Any]:
    changes = {"ssl_key_file": str(tls.client("produce").encrypted_key)}
    return changes | ({"ssl_key_password_file": _file(folder, password)} if password else {})


REFUSED: list[tuple[str, str, Changes, str]] = [
    ("wrong password", "SCRAM", lambda _, f: {"sasl_password_file": _file(f, "wrong-canary")}, "refuses the log-in of"),
    ("unknown authority", "SCRAM", lambda _, f: {"ssl_ca_file": str(Authority(f).file)}, "is not to be trusted"),
    ("broker of another name", "ELSEWHERE", lambda *_: {}, "is not to be trusted"),
    ("broker's is over", "EXPIRED", lambda *_: {}, "is not to be trusted"),
    ("of another authority", "MTLS", _of_another_authority, "wants a client certificate"),
    ("the client's is over", "MTLS", _expired, "wants a client certificate"),
    ("none", "MTLS", lambda *_: {"ssl_certificate_file": None, "ssl_key_file": None}, "wants a client certificate"),
    ("no such key", "MTLS", lambda _, f: {"ssl_key_file": str(f / "none")}, "No such file"),
    ("a key that is encrypted", "MTLS", lambda t, f: _encrypted(t, f, None), "the key is encrypted"),
    ("its password wrong", "MTLS", lambda t, f: _encrypted(t, f, "wrong-canary"), "the key is encrypted"),
    ("no such password", "MTLS", lambda _, f: {"ssl_key_password_file": str(f / "none")}, "cannot read the password"),
]


@pytest.mark.parametrize(
    ("listener", "changes", "told"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
@pytest.mark.parametrize("command", ["produce logfile", "stream", "stats"])
def test_who_is_refused_is_told_why_at_once_in_one_line(  # noqa: PLR0917 - a table has columns
    tls: Any, tmp_path: Path, listener: str, changes: Changes, told: str, command: str
) -> None:
    settings = {"kafka": tls.kafka(listener, "produce") | changes(tls, tmp_path)}
    arguments = [*command.split(), *([SAMPLE] if command == "produce logfile" else [])]
    begun = time.monotonic()
    result = CliRunner().invoke(application, _with(settings, tmp_path, *arguments))
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1), result.output
    assert told in result.stderr
    assert "canary" not in result.output
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize(
    ("listener", "changes", "told"),
    [
        ("ELSEWHERE", {}, "Hostname mismatch"),
        ("EXPIRED", {}, "certificate has expired"),
        ("SCRAM", {"ssl_ca_file": None}, "unable to get local issuer certificate"),
    ],
)
def test_a_check_says_what_is_wrong_with_a_certificate(
    tls: Any, tmp_path: Path, listener: str, changes: dict[str, Any], told: str
) -> None:
    settings = {"kafka": tls.kafka(listener, "produce") | changes}
    result = CliRunner().invoke(application, _with(settings, tmp_path, "check", "--stage=stream", "--json"))
    assert result.exit_code == 1
    assert told in " ".join(finding["text"] for finding in json.loads(result.stdout)["findings"])


def test_a_key_with_a_password_is_used(tls: Any, tmp_path: Path) -> None:
    settings = {"kafka": tls.kafka("MTLS", "produce") | _encrypted(tls, tmp_path, KEY_PASSWORD)}
    result = CliRunner().invoke(application, _with(settings, tmp_path, "check", "--stage=produce", "--json"))
    assert "MTLS" not in result.output
    assert any("answers: 1 broker" in finding["text"] for finding in json.loads(result.stdout)["findings"])


def test_a_sink_that_kafka_refuses_ends(tls: Any, tls_database: Any, run: Run, tmp_path: Path) -> None:
    for listener, changes in (("SCRAM", {"sasl_password_file": _file(tmp_path, "wrong-canary")}), ("ELSEWHERE", {})):
        kafka = tls.kafka(listener, "sink") | changes
        sink = run({"kafka": kafka, "database": tls_database.settings("sink")}, "sink", "--log-level=debug")
        assert sink.wait(60) == 2, said(sink)
        assert len(said(sink).splitlines()) == 1, said(sink)
        assert "canary" not in said(sink)


@pytest.mark.parametrize("command", ["sink", "up", "check"])
def test_no_help_shows_what_the_environment_holds(monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.setenv("JOURNAL_POSTFIX_KAFKA__SASL_PASSWORD", "canary")
    monkeypatch.setenv("JOURNAL_POSTFIX_DATABASE__PASSWORD", "canary")
    result = CliRunner().invoke(application, [command, "--help"])
    assert result.exit_code == 0
    assert "canary" not in result.output
