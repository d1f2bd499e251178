"""A Kafka with TLS: passwords at one port, client certificates at another, and servers that nobody should trust.

And a PostgreSQL with TLS, whose roles are those of `roles`.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml
from certificates import Authority, Pair
from confluent_kafka.admin import ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion
from engine_containers import NotHereError
from secured_broker import Secured, secured_broker
from tls_postgres import tls_postgres

from journal_postfix.access import WORK
from schemas.settings import DatabaseSettings, Settings
from sinks.migrating import migrate
from sinks.roles import create, grant

PASSWORD = "canary-of-{}-2f9e"
LISTENERS = {"SCRAM": "SASL_SSL", "MTLS": "SSL", "EXPIRED": "SSL", "ELSEWHERE": "SSL"}
"""The last two have a certificate that is over, and one for another host."""


class TlsWorld:
    """The broker, who signed what, and the settings of each user in a file."""

    def __init__(self, broker: Secured, authority: Authority, folder: Path) -> None:
        self.broker, self.authority, self.folder = broker, authority, folder

    def client(self, user: str) -> Pair:
        return self.authority.client(user)

    def password_file(self, user: str) -> Path:
        return self.folder / f"{user}.password"

    def kafka(self, listener: str, user: str) -> dict[str, Any]:
        """Return the settings with which *user* reaches *listener*."""
        settings: dict[str, Any] = {
            "bootstrap_servers": f"localhost:{self.broker.ports[listener]}",
            "security_protocol": LISTENERS[listener],
            "ssl_ca_file": str(self.authority.file),
            "topic_prefix": f"{listener.lower()}.",
            "partitions": 2,
        }
        if listener == "SCRAM":
            settings |= {"sasl_username": user, "sasl_password_file": str(self.password_file(user))}
        else:
            client = self.client(user)
            settings |= {"ssl_certificate_file": str(client.certificate), "ssl_key_file": str(client.key)}
        return settings


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsWorld]:
    folder = tmp_path_factory.mktemp("tls")
    authority = Authority(folder)
    good = authority.server("good", "localhost", "127.0.0.1")
    servers = {
        "SCRAM": good,
        "MTLS": good,
        "EXPIRED": authority.server("expired", "localhost", "127.0.0.1", expired=True),
        "ELSEWHERE": authority.server("elsewhere", "kafka.example.org"),
    }
    properties = {
        "sasl.enabled.mechanisms": "SCRAM-SHA-512",
        "listener.name.scram.scram-sha-512.sasl.jaas.config": "org.apache.kafka.common.security.scram.ScramLoginModule "
        "required;",
        "listener.name.mtls.ssl.client.auth": "required",
        "ssl.principal.mapping.rules": "RULE:^.*CN=([^,]+).*$/$1/,DEFAULT",
    }
    for name, server in servers.items():
        listener = f"listener.name.{name.lower()}"
        properties |= {
            f"{listener}.ssl.keystore.type": "PEM",
            f"{listener}.ssl.keystore.location": str(server.both),
            f"{listener}.ssl.truststore.type": "PEM",
            f"{listener}.ssl.truststore.location": str(authority.file),
        }
    with secured_broker(folder, LISTENERS, properties, host="localhost") as broker:
        info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        users = [UserScramCredentialUpsertion(user, info, PASSWORD.format(user).encode()) for user in WORK]
        for future in broker.admin.alter_user_scram_credentials(users).values():
            future.result()
        world = TlsWorld(broker, authority, folder)
        for user in WORK:
            world.password_file(user).write_text(PASSWORD.format(user) + "\n")
        yield world


class TlsDatabase:
    """The server, and the settings of each role: migrator, sink, reader by password, jp_certified by certificate."""

    def __init__(self, port: int, authority: Authority, folder: Path, administrator: DatabaseSettings) -> None:
        self.port, self.authority, self.folder = port, authority, folder
        self.administrator = administrator

    def settings(self, role: str, **changed: Any) -> dict[str, Any]:
        settings = {"host": "localhost", "port": self.port, "dbname": "postgres", "user": f"jp_{role}",
                    "sslmode": "verify-full", "sslrootcert": str(self.authority.file)}  # fmt: skip
        if role == "certified":
            client = self.authority.client("jp_certified")
            settings |= {"sslcert": str(client.certificate), "sslkey": str(client.key)}
        else:
            settings["password_file"] = str(self.folder / f"{role}.password")
        return settings | changed


@pytest.fixture(scope="session")
def tls_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsDatabase]:
    files = tmp_path_factory.mktemp("postgres-files")
    authority = Authority(files)
    roles = ("migrator", "sink", "reader")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="jp-tls-")))  # a socket's path is short
        try:
            port = stack.enter_context(tls_postgres(folder, authority.server("database", "localhost"), authority.file))
        except NotHereError as error:
            pytest.fail(str(error)) if os.environ.get("CI") == "true" else pytest.skip(str(error))
        administrator = DatabaseSettings(host=str(folder), port=port, dbname="postgres", user="postgres")
        database = TlsDatabase(port, authority, files, administrator)
        for role in roles:
            (files / f"{role}.password").write_text(PASSWORD.format(role))
        create(
            Settings(database=administrator), migrator="jp_migrator", others=("jp_sink", "jp_reader", "jp_certified"),
            passwords={f"jp_{role}": PASSWORD.format(role) for role in roles},
        )  # fmt: skip
        migrator = Settings.model_validate({"database": database.settings("migrator")})
        migrate(migrator)
        grant(migrator, sinks=["jp_sink", "jp_certified"], readers=["jp_reader"])
        yield database


Process = Any
"""A ``Popen`` with the path of what it says, `log`."""


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Give a way to run a command with settings, which go into a file."""
    started: list[Process] = []

    def run(settings: Mapping[str, Any], *arguments: str, **environment: str) -> Process:
        file, log = tmp_path / f"{len(started)}.yaml", tmp_path / f"{len(started)}.log"
        file.write_text(yaml.safe_dump({"data_dir": str(tmp_path), **settings}))
        with log.open("w") as output:
            process: Process = subprocess.Popen(
                [sys.executable, "-m", "journal_postfix", *arguments, "--config", str(file)],
                env={**os.environ, "COLUMNS": "300", **environment},
                stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            )  # fmt: skip
        process.log = log
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.wait()
