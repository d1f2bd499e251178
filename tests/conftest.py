"""Fixtures that every part's tests share: a real broker, a real cluster, a real database.

They come from a container engine where one answers, else from the embedded parts. Where neither can be had, the tests
that need them are skipped with the reason; with CI=true they fail.
"""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from engine_containers import BrokerAt, NotHereError, Postgres, kafka_container, postgres_container
from psycopg2 import sql

from journal_postfix.broker import TopicEnds
from journal_postfix.local import EmbeddedBroker, EmbeddedCluster, EmbeddedDatabase
from journal_postfix.local.database_config import ROLE
from schemas.errors import JournalPostfixError
from schemas.settings import DatabaseSettings, KafkaSettings, Settings, StreamSettings
from schemas.topics import Topic, topics_of
from sinks.migrating import migrate

pytest_plugins = ["faults.report"]

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # a shell's background job: what the tests start would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:  # nohup's
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session")
def broker() -> Iterator[BrokerAt | EmbeddedBroker]:
    """Give a broker with one node, for the whole run."""
    with ExitStack() as stack:
        yield _had(stack, "broker", kafka_container, _embedded_broker)


@pytest.fixture
def kafka_settings(broker: BrokerAt | EmbeddedBroker) -> KafkaSettings:
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
    with closing(TopicEnds(settings)) as ends:  # waits until the broker knows that it leads them all
        ends.high_watermarks(topic.name for topic in topics)
    return settings


@pytest.fixture
def start_stream(stream_settings: Settings, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Give a way to start a worker of the stream stage, whose output goes to ``{name}.log``; none is left behind.

    *program* changes something in it first; *variables* are settings of the stage, such as ``CHECKPOINT_SECONDS="60"``.
    """
    run = "import sys\nfrom schemas.settings import load\nfrom streams.worker import run\nsys.exit(run(load()))"
    kafka, stream = stream_settings.kafka, stream_settings.stream
    environment = {
        **os.environ,
        "JOURNAL_POSTFIX_KAFKA__BOOTSTRAP_SERVERS": str(kafka.bootstrap_servers),
        "JOURNAL_POSTFIX_KAFKA__TOPIC_PREFIX": kafka.topic_prefix,
        "JOURNAL_POSTFIX_STREAM__APPLICATION": stream.application,
        "JOURNAL_POSTFIX_STREAM__SESSION_TIMEOUT_SECONDS": str(stream.session_timeout_seconds),
    }
    started: list[subprocess.Popen[bytes]] = []

    def start(name: str, program: str = "", **variables: str) -> subprocess.Popen[bytes]:
        given = environment | {f"JOURNAL_POSTFIX_STREAM__{variable}": value for variable, value in variables.items()}
        with (tmp_path / f"{name}.log").open("wb") as log:
            command = [sys.executable, "-c", f"{program}\n{run}"]
            started.append(subprocess.Popen(command, stdout=log, stderr=log, env=given))
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
        yield _had(stack, "cluster", _embedded_cluster)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Give a PostgreSQL server, for the whole run."""
    with ExitStack() as stack:
        yield _had(stack, "database", postgres_container, _embedded_postgres)


@pytest.fixture
def database(postgres: Postgres) -> Iterator[DatabaseSettings]:
    """Give a new, empty database, owned by a role that is no superuser."""
    name = sql.Identifier(dbname := f"t{secrets.token_hex(6)}")
    postgres.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(name, sql.Identifier(ROLE)))
    yield postgres.owner.model_copy(update={"dbname": dbname})
    postgres.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


@pytest.fixture(scope="session")
def migrated_template(postgres: Postgres) -> Iterator[str]:
    """Give the name of a migrated, empty database that others are copied from: that is quicker than migrating each."""
    dbname = f"t{secrets.token_hex(6)}"
    name = sql.Identifier(dbname)
    postgres.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(name, sql.Identifier(ROLE)))
    migrate(Settings(database=postgres.owner.model_copy(update={"dbname": dbname})))
    yield dbname
    postgres.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


@pytest.fixture
def migrated(postgres: Postgres, migrated_template: str) -> Iterator[DatabaseSettings]:
    """Give a new database with all tables, empty, owned by a role that is no superuser."""
    name = sql.Identifier(dbname := f"t{secrets.token_hex(6)}")
    postgres.execute(
        sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {}").format(
            name, sql.Identifier(ROLE), sql.Identifier(migrated_template)
        )
    )
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


def _had(stack: ExitStack, what: str, *ways: Callable[[ExitStack], Any]) -> Any:
    reasons = []
    for way in ways:
        with ExitStack() as trying:
            try:
                part = way(trying)
            except (NotHereError, JournalPostfixError) as error:
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


def _embedded_broker(stack: ExitStack) -> EmbeddedBroker:
    return stack.enter_context(EmbeddedBroker(stack.enter_context(_data_folder()), Settings()))


def _embedded_cluster(stack: ExitStack) -> EmbeddedCluster:
    return stack.enter_context(EmbeddedCluster(stack.enter_context(_data_folder()), Settings()))


def _embedded_postgres(stack: ExitStack) -> Postgres:
    server = stack.enter_context(EmbeddedDatabase(stack.enter_context(_data_folder()), Settings()))
    return Postgres(server.superuser, server.settings)
