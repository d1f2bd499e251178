import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from journal_postfix.supervision.embedded import Embedded
from schemas.errors import JournalPostfixError
from schemas.settings import DatabaseSettings, KafkaSettings, Settings

NOBODYS = "127.0.0.1:1"


@pytest.fixture
def kafka() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(tmp_path / ".s.PGSQL.5432"))
        listener.listen()
        yield listener


def complete(kafka: socket.socket, folder: Path) -> Settings:
    return Settings(
        kafka=KafkaSettings(bootstrap_servers=f"127.0.0.1:{kafka.getsockname()[1]}"),
        database=DatabaseSettings(host=str(folder)),
    )


def knock(embedded: Embedded, seconds: float = 1.0) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        embedded.check()


def test_parts_that_listen_are_alive(kafka: socket.socket, postgres: socket.socket, tmp_path: Path) -> None:
    knock(Embedded(Settings(), complete(kafka, tmp_path), every=5))
    kafka.settimeout(5)
    postgres.settimeout(5)
    postgres.accept()[0].close()
    kafka.accept()[0].close()


def test_a_dead_broker_is_told(kafka: socket.socket, postgres: socket.socket, tmp_path: Path) -> None:
    settings = complete(kafka, tmp_path)
    kafka.close()
    with pytest.raises(JournalPostfixError, match="embedded Kafka has died"):
        knock(Embedded(Settings(), settings, every=0.1), 10)
    postgres.accept()[0].close()


def test_a_dead_database_is_told(kafka: socket.socket, postgres: socket.socket, tmp_path: Path) -> None:
    postgres.close()
    with pytest.raises(JournalPostfixError, match="embedded PostgreSQL has died"):
        knock(Embedded(Settings(), complete(kafka, tmp_path), every=0.1), 10)


def test_what_is_not_ours_is_not_looked_at() -> None:
    own = Settings(kafka=KafkaSettings(bootstrap_servers=NOBODYS), database=DatabaseSettings(host="/nowhere"))
    knock(Embedded(own, own, every=0.0), 0.2)
    with pytest.raises(JournalPostfixError):
        knock(Embedded(Settings(), own, every=0.0), 10)
