"""``top --once`` of a real pipeline's Kafka and PostgreSQL, and of each without the other."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import psycopg2
import pytest
from confluent_kafka import Producer

from journal_postfix.supervision.environment import environment_of
from journal_postfix.topics import make
from schemas.progress import Progress
from schemas.settings import DatabaseSettings, KafkaSettings, Settings
from schemas.topics import topics_of

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]

Top = Callable[..., tuple[int, Any]]


@pytest.fixture
def complete(kafka_settings: KafkaSettings, migrated: DatabaseSettings) -> Settings:
    """Give settings of topics in which 3 of 5 batches are merged, and of tables that lack 2 of 2 records."""
    settings = Settings(kafka=kafka_settings, database=migrated)
    make(settings)
    topics = topics_of(settings.kafka, settings.stream)
    producer = Producer({"bootstrap.servers": kafka_settings.bootstrap_servers})
    for _ in range(5):
        producer.produce(topics.raw.name, b"x", partition=1)
    for _ in range(2):
        producer.produce(topics.delivery_to.name, b"x", b"key", 1)
    said = Progress(partition=1, next_offset=3, lines=9, parsed=9, in_flight=4, hosts={"mx1\x1b[2J": 10**15})
    producer.produce(topics.progress.name, msgspec.json.encode(said), b"1", 0)
    assert producer.flush(30) == 0
    connection = psycopg2.connect(**migrated.connection_parameters())
    with connection, connection.cursor() as cursor:
        now = datetime.now(UTC)
        cursor.execute(
            "INSERT INTO delivery_to (host, queue_id, arrived_at, recipient, orig_recipient, origin, last_attempt_at,"
            " status, number, service, dsn, relay, reply, first_attempt_at, attempts, history) VALUES ('mx1', 'A', %s,"
            " 'ann@down.test', '', 2, %s, 'deferred', 0, 'smtp', '4.4.1', 'none', 'Connection refused', %s, 3, '{}')",
            (now, now, now),
        )
    connection.close()
    return settings


@pytest.fixture
def top() -> Top:
    """Give what calls ``top --once`` with settings: exit code and output."""

    def call(settings: Settings, *arguments: str) -> tuple[int, Any]:
        done = subprocess.run(
            [sys.executable, "-m", "journal_postfix", "top", "--once", "--interval", "0.2", *arguments],
            env=environment_of(settings, os.environ) | {"COLUMNS": "80"},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.stderr == ""
        return done.returncode, json.loads(done.stdout) if "json" in arguments else done.stdout

    return call


def test_a_picture_says_what_topics_and_tables_say(complete: Settings, top: Top) -> None:
    code, picture = top(complete, "--format", "json")
    assert code == 0
    assert (picture["kafka"], picture["database"]) == (None, None)
    assert {"partition": 1, "stream": 2, "sink": 2} in picture["lags"]
    assert [lag["partition"] for lag in picture["lags"]] == [0, 1, 2, 3]
    assert picture["lines_per_second"]["parsed"] == 0
    assert picture["in_flight"] == 4
    [group] = picture["deferring"]
    assert (group["domain"], group["reason"], group["attempts"]) == ("down.test", "4.4.1", 3)


def test_it_is_printed_for_people_in_80_columns(complete: Settings, top: Top) -> None:
    code, text = top(complete)
    assert code == 0
    assert max(map(len, text.splitlines())) <= 80
    assert "down.test" in text
    assert "mx1␛[2J" in text
    assert "\x1b" not in text


def test_kafka_alone_and_postgresql_alone_are_shown(complete: Settings, top: Top, free_port: int) -> None:
    no_database = complete.model_copy(
        update={"database": DatabaseSettings(host="127.0.0.1", port=free_port, user="u", sslmode="disable")}
    )
    code, picture = top(no_database, "--format", "json")
    assert code == 0
    assert "does not answer" in picture["database"]
    assert {"partition": 1, "stream": 2, "sink": None} in picture["lags"]

    only_database = complete.model_copy(update={"kafka": KafkaSettings()})
    code, picture = top(only_database, "--format", "json")
    assert (code, picture["kafka"]) == (0, "not configured")
    assert picture["deferring"][0]["domain"] == "down.test"
