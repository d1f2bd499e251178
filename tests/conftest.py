"""Fixtures that every part's tests share: a real broker, a real cluster, a real database.

They come from a container engine where one answers, else from the embedded parts. Where neither can be had, the tests
that need them are skipped with the reason; with CI=true they fail.
"""

import gc
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import psycopg2
import pytest
from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from psycopg2 import sql

from journal_postfix.local import EmbeddedBroker, EmbeddedCluster, EmbeddedDatabase
from journal_postfix.local.ports import LOOPBACK, free_ports
from schemas.errors import JournalPostfixError
from schemas.settings import DatabaseSettings, KafkaSettings, Settings, StreamSettings
from schemas.topics import Topic, topics_of

KAFKA_IMAGE = "apache/kafka:4.1.0"
POSTGRES_IMAGE = "postgres:18-alpine"
ROLE = "journal_postfix"


class Broker(Protocol):
    """What the tests know of a broker."""

    @property
    def bootstrap_servers(self) -> str:
        """``host:port``."""


class Postgres:
    """A running PostgreSQL server."""

    def __init__(self, superuser: DatabaseSettings, owner: DatabaseSettings) -> None:
        self.superuser = superuser
        self.owner = owner

    def execute(self, *statements: sql.Composable | str) -> None:
        """Run statements as the superuser, each in a transaction of its own."""
        connection = psycopg2.connect(**self.superuser.connection_parameters())
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)
        finally:
            connection.close()


@pytest.fixture(scope="session")
def broker() -> Iterator[Broker]:
    """Give a broker with one node, for the whole run."""
    with ExitStack() as stack:
        yield _had(stack, "a broker", _kafka_container, _embedded_broker)


@pytest.fixture
def kafka_settings(broker: Broker) -> KafkaSettings:
    """Give settings of topics that no other test has: made by nobody yet, four partitions."""
    return KafkaSettings(
        bootstrap_servers=broker.bootstrap_servers, topic_prefix=f"t{secrets.token_hex(4)}.", partitions=4
    )


@pytest.fixture
def stream_settings(kafka_settings: KafkaSettings) -> Settings:
    """Give settings of a stream stage whose topics are there, with a session as short as Kafka allows."""
    application = f"stream-{kafka_settings.topic_prefix.rstrip('.')}"
    settings = Settings(kafka=kafka_settings, stream=StreamSettings(application=application, session_timeout_seconds=6))
    admin = AdminClient({"bootstrap.servers": kafka_settings.bootstrap_servers})
    topics = topics_of(settings.kafka, settings.stream).all()
    for future in admin.create_topics([NewTopic(t.name, t.partitions, 1, config=t.config) for t in topics]).values():
        future.result()
    return settings


@pytest.fixture
def start_stream(stream_settings: Settings, tmp_path: Path) -> Iterator[Callable[[str], subprocess.Popen[bytes]]]:
    """Give a way to start a worker of the stream stage, whose output goes to ``{name}.log``; none is left behind."""
    program = "import sys; from schemas.settings import load; from streams.worker import run; sys.exit(run(load()))"
    kafka, stream = stream_settings.kafka, stream_settings.stream
    environment = {
        **os.environ,
        "JOURNAL_POSTFIX_KAFKA__BOOTSTRAP_SERVERS": str(kafka.bootstrap_servers),
        "JOURNAL_POSTFIX_KAFKA__TOPIC_PREFIX": kafka.topic_prefix,
        "JOURNAL_POSTFIX_STREAM__APPLICATION": stream.application,
        "JOURNAL_POSTFIX_STREAM__SESSION_TIMEOUT_SECONDS": str(stream.session_timeout_seconds),
    }
    started: list[subprocess.Popen[bytes]] = []

    def start(name: str) -> subprocess.Popen[bytes]:
        with (tmp_path / f"{name}.log").open("wb") as log:
            started.append(subprocess.Popen([sys.executable, "-c", program], stdout=log, stderr=log, env=environment))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def topic_records() -> Callable[[KafkaSettings, Topic], list[tuple[bytes, bytes | None]]]:
    """Give a reader of every committed record of a topic, key and value, in the order of each partition."""

    def read(kafka: KafkaSettings, topic: Topic) -> list[tuple[bytes, bytes | None]]:
        consumer = Consumer(
            {
                "bootstrap.servers": kafka.bootstrap_servers,
                "group.id": "check",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
            }
        )
        consumer.assign([TopicPartition(topic.name, number, 0) for number in range(topic.partitions)])
        unfinished = set(range(topic.partitions))
        records = []
        while unfinished:
            for record in consumer.consume(5000, 1):
                if record.error():
                    unfinished.discard(record.partition())
                else:
                    records.append((record.key(), record.value()))
        consumer.close()
        return records

    return read


@pytest.fixture
def cluster() -> Iterator[EmbeddedCluster]:
    """Give three brokers, each of which can be stopped, killed and started."""
    with ExitStack() as stack:
        yield _had(stack, "a cluster", _embedded_cluster)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Give a PostgreSQL server, for the whole run."""
    with ExitStack() as stack:
        yield _had(stack, "a database", _postgres_container, _embedded_postgres)


@pytest.fixture
def database(postgres: Postgres) -> Iterator[DatabaseSettings]:
    """Give a new, empty database, owned by a role that is no superuser."""
    name = sql.Identifier(dbname := f"t{secrets.token_hex(6)}")
    postgres.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(name, sql.Identifier(ROLE)))
    yield postgres.owner.model_copy(update={"dbname": dbname})
    postgres.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """Give an empty folder for embedded parts: its path is short, and PostgreSQL's user can enter it."""
    with _data_folder() as folder:
        yield folder


@pytest.fixture
def embedded_settings(data_dir: Path) -> Settings:
    """Give settings that configure nothing: everything is embedded, with data in `data_dir`."""
    return Settings(data_dir=data_dir)


class _NotHereError(Exception):
    """A way to have a part is not open on this machine."""


def _had(stack: ExitStack, what: str, *ways: Callable[[ExitStack], Any]) -> Any:
    reasons = []
    for way in ways:
        with ExitStack() as trying:
            try:
                part = way(trying)
            except (_NotHereError, JournalPostfixError) as error:
                reasons.append(str(error))
            else:
                stack.push(trying.pop_all())
                return part
    reason = f"no {what}: {'; '.join(reasons)}"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    return pytest.skip(reason)


@contextmanager
def _data_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="journal-postfix-test-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _embedded_broker(stack: ExitStack) -> Broker:
    return stack.enter_context(EmbeddedBroker(stack.enter_context(_data_folder()), Settings()))


def _embedded_cluster(stack: ExitStack) -> EmbeddedCluster:
    return stack.enter_context(EmbeddedCluster(stack.enter_context(_data_folder()), Settings()))


def _embedded_postgres(stack: ExitStack) -> Postgres:
    server = stack.enter_context(EmbeddedDatabase(stack.enter_context(_data_folder()), Settings()))
    return Postgres(server.superuser, server.settings)


@cache
def _container_engine_fault() -> str | None:
    import docker  # noqa: PLC0415 - only here
    from docker.errors import DockerException  # noqa: PLC0415

    reason = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # the library drops its socket where nothing answers
        try:
            client = docker.from_env(timeout=5)
            client.ping()
            client.close()
        except (DockerException, OSError) as error:
            reason = f"no container engine ({type(error).__name__})"
        gc.collect()
    return reason


def _require_container_engine() -> None:
    if (fault := _container_engine_fault()) is not None:
        raise _NotHereError(fault)


def _started(stack: ExitStack, container: Any) -> Any:
    from docker.errors import DockerException  # noqa: PLC0415 - only here

    try:
        return stack.enter_context(container)
    except DockerException as error:
        raise _NotHereError(f"the container engine can't run {container.image} ({type(error).__name__})") from None


class _BrokerAt:
    def __init__(self, bootstrap_servers: str) -> None:
        self.bootstrap_servers = bootstrap_servers


def _kafka_container(stack: ExitStack) -> Broker:
    _require_container_engine()
    from testcontainers.core.container import DockerContainer  # noqa: PLC0415 - only here

    [port] = free_ports(1)
    environment = {
        "KAFKA_NODE_ID": "1",
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_LISTENERS": f"PLAINTEXT://:{port},CONTROLLER://:9093",
        "KAFKA_ADVERTISED_LISTENERS": f"PLAINTEXT://{LOOPBACK}:{port}",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
        "KAFKA_MESSAGE_MAX_BYTES": str(2 * 1024 * 1024),
        "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
        "KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS": "1",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_NUM_PARTITIONS": "1",
        "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
    }
    container = DockerContainer(KAFKA_IMAGE, env=environment, ports=None).with_kwargs(ports={port: (LOOPBACK, port)})
    _started(stack, container)
    bootstrap_servers = f"{LOOPBACK}:{port}"
    _wait_for(lambda: bool(AdminClient({"bootstrap.servers": bootstrap_servers}).list_topics(timeout=2).brokers))
    return _BrokerAt(bootstrap_servers)


def _postgres_container(stack: ExitStack) -> Postgres:
    _require_container_engine()
    from testcontainers.community.postgres import PostgresContainer  # noqa: PLC0415 - only here

    password = secrets.token_urlsafe(16)
    container = _started(
        stack,
        PostgresContainer(POSTGRES_IMAGE, username="postgres", password=password, dbname="postgres").with_env(
            "POSTGRES_INITDB_ARGS", "--locale-provider=builtin --builtin-locale=C.UTF-8 -E UTF8 --data-checksums"
        ),
    )
    superuser = DatabaseSettings.model_validate(
        {
            "host": container.get_container_host_ip(),
            "port": int(container.get_exposed_port(5432)),
            "dbname": "postgres",
            "user": "postgres",
            "password": password,
            "sslmode": "disable",
        }
    )
    server = Postgres(superuser, superuser.model_copy(update={"user": ROLE}))
    server.execute(
        sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(ROLE), sql.Literal(password)),
        sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier("journal_postfix"), sql.Identifier(ROLE)),
    )
    return server


def _wait_for(ready: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            if ready():
                return
        except KafkaException as error:
            if time.monotonic() > deadline:
                raise _NotHereError(f"the container's broker does not answer: {error}") from None
