"""A broker and a database in containers, where a container engine answers."""

import gc
import secrets
import time
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache
from typing import Any

import psycopg2
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from psycopg2 import sql

from journal_postfix.local.database_config import ROLE
from journal_postfix.local.ports import LOOPBACK, free_ports
from schemas.settings import DatabaseSettings

KAFKA_IMAGE = "apache/kafka:4.1.0"
POSTGRES_IMAGE = "postgres:18-alpine"


class NotHereError(Exception):
    """A way to have a part is not open on this machine."""


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
        raise NotHereError(fault)


def _started(stack: ExitStack, container: Any) -> Any:
    from docker.errors import DockerException  # noqa: PLC0415 - only here

    try:
        return stack.enter_context(container)
    except DockerException as error:
        raise NotHereError(f"the container engine can't run {container.image} ({type(error).__name__})") from None


class BrokerAt:
    """A broker that runs."""

    def __init__(self, bootstrap_servers: str) -> None:
        self.bootstrap_servers = bootstrap_servers


def kafka_container(stack: ExitStack) -> BrokerAt:
    """Start a broker. Raises NotHereError."""
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
    container = DockerContainer(KAFKA_IMAGE, env=environment)
    container.ports = {f"{port}/tcp": (LOOPBACK, port)}
    _started(stack, container)
    bootstrap_servers = f"{LOOPBACK}:{port}"
    _wait_for(lambda: bool(AdminClient({"bootstrap.servers": bootstrap_servers}).list_topics(timeout=2).brokers))
    return BrokerAt(bootstrap_servers)


def postgres_container(stack: ExitStack) -> Postgres:
    """Start a database server. Raises NotHereError."""
    _require_container_engine()
    from testcontainers.community.postgres import PostgresContainer  # noqa: PLC0415 - only here

    password = secrets.token_urlsafe(16)
    container = PostgresContainer(POSTGRES_IMAGE, username="postgres", password=password, dbname="postgres")
    container.with_env(
        "POSTGRES_INITDB_ARGS", "--locale-provider=builtin --builtin-locale=C.UTF-8 -E UTF8 --data-checksums"
    )
    container.ports = {"5432/tcp": (LOOPBACK,)}
    _started(stack, container)
    superuser = DatabaseSettings.model_validate(
        {
            "host": LOOPBACK,
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
                raise NotHereError(f"the container's broker does not answer: {error}") from None
