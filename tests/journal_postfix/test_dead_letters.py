"""``dead-letters``: what could not be used is listed once, shown safely, and put where it belongs by a retry."""

import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from typing import Any

import psycopg2
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from journal_postfix import topics as broker_topics
from journal_postfix.supervision.environment import environment_of
from schemas.dead_letters import DeadLetter, letter_key
from schemas.deliveries import DeliveryFrom, DeliveryTo, delivery_key, encode_record, message_key
from schemas.raw import RawBatch, RawLine, StreamPosition, encode_batch
from schemas.settings import DatabaseSettings, KafkaSettings, Settings
from schemas.topics import Topics, topics_of

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]

Command = Callable[..., "subprocess.CompletedProcess[str]"]
AT = "2026-11-22T06:00:00.000000Z"


@pytest.fixture
def settings(migrated: DatabaseSettings, kafka_settings: KafkaSettings) -> Settings:
    kafka = kafka_settings.model_copy(update={"partitions": 2})
    settings = Settings(database=migrated, kafka=kafka)
    broker_topics.make(settings)
    return settings


@pytest.fixture
def topics(settings: Settings) -> Topics:
    return topics_of(settings.kafka, settings.stream)


@pytest.fixture
def command(settings: Settings) -> Command:
    def run(*words: str, **options: Any) -> "subprocess.CompletedProcess[str]":
        environment = environment_of(settings, {"PATH": "/usr/bin", "COLUMNS": "80", "NO_COLOR": "1"})
        return subprocess.run(
            [sys.executable, "-m", "journal_postfix", "dead-letters", *words],
            env=environment, capture_output=True, timeout=60, check=False, **{"text": True} | options,
        )  # fmt: skip

    return run


@pytest.fixture
def write(settings: Settings, topics: Topics) -> Callable[..., None]:
    """Give a function that writes letters, or other records, and waits for them."""
    producer = Producer({"bootstrap.servers": settings.kafka.bootstrap_servers})

    def write(*letters: DeadLetter, topic: str = "", value: bytes | None = None, key: bytes = b"") -> None:
        for letter in letters:
            producer.produce(topics.dead_letter.name, encode_record(letter), letter_key(letter), 0)
        if topic:
            producer.produce(topic, value, key, 0)
        assert producer.flush(30) == 0

    return write


def letter(stage: str, topic: str, offset: int, value: bytes, **fields: Any) -> DeadLetter:
    given = {"at": AT, "reason": "not good", "partition": 0, "key": b"key", "length": len(value)}
    return DeadLetter(stage=stage, topic=topic, offset=offset, value=value, **given | fields)


def message(number: int, **fields: Any) -> DeliveryFrom:
    return DeliveryFrom(host="mx1", queue_id=f"{number:010X}", arrived_at=AT, origin=2, **fields)


def delivery(status: str, at: str) -> DeliveryTo:
    return DeliveryTo(
        host="mx1", queue_id="9D5CB98A3E3", arrived_at=AT, origin=2, recipient="r@x.test", status=status,
        last_attempt_at=at, first_attempt_at=at,
    )  # fmt: skip


def records(settings: Settings, topic: str) -> list[tuple[int, bytes | None, bytes | None]]:
    """Partition, key and value of all that *topic* holds."""
    consumer = Consumer(
        {"bootstrap.servers": settings.kafka.bootstrap_servers, "group.id": "unused", "enable.partition.eof": True}
    )
    with closing(consumer):
        partitions = consumer.list_topics(topic, timeout=20).topics[topic].partitions
        consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
        found, ends = [], 0
        while ends < len(partitions):
            record = consumer.poll(20)
            assert record is not None
            if record.error() is not None:
                ends += 1
            else:
                found.append((record.partition() or 0, record.key(), record.value()))
        return found


def rows(settings: Settings, statement: str) -> Any:
    with closing(psycopg2.connect(**settings.database.connection_parameters())) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else None


def listed(command: Command, *words: str) -> list[dict[str, Any]]:
    said = command("list", "--format", "jsonl", *words)
    assert said.returncode == 0, said.stderr
    return [json.loads(line) for line in said.stdout.splitlines()]


def test_each_is_listed_once_however_often_it_was_written(command: Command, write: Any, topics: Topics) -> None:
    assert command("list").stdout == "There are none.\n"
    name = topics.delivery_to.name
    again = letter("sink", name, 7, b"{")
    line = DeadLetter(at=AT, stage="producer", reason="too long", source="mx1:file:/a", offset=9, value=b"x", length=99)
    other = DeadLetter(
        at=AT, stage="producer", reason="too long", source="mx1:file:/a", offset=9, value=b"y", length=99
    )
    write(again, line, again, letter("stream", topics.raw.name, 7, b"\xff"), other, again)
    found = listed(command)
    assert [(one["id"], one["stage"], one["times"]) for one in found] == [
        (0, "sink", 3), (1, "producer", 1), (3, "stream", 1), (4, "producer", 1),
    ]  # fmt: skip
    assert [one["id"] for one in listed(command, "--stage", "stream")] == [3]
    assert [one["id"] for one in listed(command, "--reason", "TOO")] == [1, 4]
    assert [one["id"] for one in listed(command, "--limit", "1")] == [4]
    assert listed(command, "--since", "2026-11-23") == []
    table = command("list").stdout
    assert f"{name}[0]@7" in table
    assert "(written 3 times)" in table
    assert max(map(len, table.splitlines())) <= 80
    assert command("list", "--format", "csv").stdout.count("\n") == 5


def test_one_is_shown_so_that_it_does_no_harm(command: Command, write: Any, topics: Topics) -> None:
    hostile = "\x1b]0;owned\x07 {} \u202e"
    write(
        letter("sink", topics.delivery_to.name, 1, hostile.encode(), reason=f"bad {hostile}"),
        letter("stream", topics.raw.name, 2, b"\xff\x00\x1b[2J" * 9, length=10**6),
    )
    text, numbers = command("show", "0"), command("show", "1")
    for said in (text, numbers, command("list")):
        assert said.returncode == 0, said.stderr
        assert not {"\x1b", "\x07", "\u202e"} & set(said.stdout)
    assert "ff 00 1b" in numbers.stdout
    assert "1,000,000 bytes, 54 of them kept" in numbers.stdout
    assert command("show", "1", "--raw", text=False).stdout == b"\xff\x00\x1b[2J" * 9  # type: ignore[comparison-overlap]
    missing = command("show", "5")
    assert (missing.returncode, missing.stdout) == (1, "")
    assert "there is no dead letter 5" in missing.stderr


def test_a_row_goes_where_it_belongs_when_what_refused_it_is_gone(
    settings: Settings, command: Command, write: Any, topics: Topics
) -> None:
    row, name = message(1, sender="a@s.test"), topics.delivery_from.name
    write(letter("sink", name, 4, encode_record(row), key=message_key(row)))
    rows(settings, "ALTER TABLE delivery_from ADD CONSTRAINT odd CHECK (sender <> 'a@s.test')")
    refused = command("retry", "--all")
    assert refused.returncode == 1
    assert "still refused" in refused.stdout
    assert len(listed(command)) == 1

    rows(settings, "ALTER TABLE delivery_from DROP CONSTRAINT odd")
    dry = command("retry", "0", "--dry-run")
    assert (dry.returncode, dry.stdout.splitlines()[-1]) == (0, "would be retried 1, still refused 0")
    assert rows(settings, "SELECT count(*) FROM delivery_from") == [(0,)]
    done = command("retry", "0")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "retried 1, still refused 0")
    assert rows(settings, "SELECT sender FROM delivery_from") == [("a@s.test",)]
    assert listed(command) == []
    assert records(settings, name) == [], "an old version must not replace newer ones in a compacted topic"
    gone = command("retry", "0")
    assert gone.returncode == 1
    assert "there is no dead letter 0" in gone.stderr


def test_an_old_version_of_a_row_leaves_what_is_newer(
    settings: Settings, command: Command, write: Any, topics: Topics
) -> None:
    newer = delivery("sent", "2026-11-22T07:00:00.000000Z")
    older = delivery("deferred", AT)
    for number, row in enumerate((newer, older, older)):
        write(letter("sink", topics.delivery_to.name, number, encode_record(row), key=delivery_key(row)))
    assert command("retry", "--all", "--stage", "sink").returncode == 0
    assert rows(settings, "SELECT status, attempts, cardinality(history) FROM delivery_to") == [("sent", 2, 1)]


def test_a_row_that_was_taken_back_since_stays_away(
    settings: Settings, command: Command, write: Any, topics: Topics
) -> None:
    row, name = message(3), topics.delivery_from.name
    write(topic=name, value=encode_record(row), key=message_key(row))
    write(letter("sink", name, 0, encode_record(row), key=message_key(row)))
    write(topic=name, value=None, key=message_key(row))
    done = command("retry", "--all")
    assert done.returncode == 0, done.stderr
    assert "withdrawn since" in done.stdout
    assert rows(settings, "SELECT count(*) FROM delivery_from") == [(0,)]


def test_lines_go_back_to_their_partition_once_they_can_be_read(
    settings: Settings, command: Command, write: Any, topics: Topics
) -> None:
    line = RawLine(1, "postfix/qmgr", 1, b"4F0A12C9D3: removed")
    batch = encode_batch(RawBatch(host="mx1", source="s", position=StreamPosition(), lines=[line]))
    write(
        letter("stream", topics.raw.name, 3, batch, partition=1, key=None),
        letter("stream", topics.raw.name, 4, b"\xff"),
        letter("stream", topics.raw.name, 5, b"\xff", length=2),
    )
    said = command("retry", "--all")
    assert said.returncode == 1
    assert records(settings, topics.raw.name) == [(1, None, batch)]
    assert [one["offset"] for one in listed(command)] == [4, 5]
    assert "only 1 of its 2 bytes were kept" in said.stdout


def test_a_line_that_was_too_long_can_only_be_fed_again(command: Command, write: Any) -> None:
    write(DeadLetter(at=AT, stage="producer", reason="long", source="s", offset=0, value=b"x", length=99))
    said = command("retry", "0")
    assert said.returncode == 1
    assert "raise producer.max_line_bytes" in said.stdout


@pytest.mark.parametrize("words", [(), ("1", "--all")])
def test_which_ones_has_to_be_said(command: Command, words: tuple[str, ...]) -> None:
    said = command("retry", *words)
    assert (said.returncode, said.stdout) == (2, "")
    assert "--all" in said.stderr


def test_many_are_retried_while_the_sink_goes_on(
    settings: Settings, command: Command, write: Any, topics: Topics
) -> None:
    many = [message(number, sender="a@s.test") for number in range(300)]
    name = topics.delivery_from.name
    write(*(letter("sink", name, at, encode_record(row), key=message_key(row)) for at, row in enumerate(many)))
    done = command("retry", "--all")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "retried 300, still refused 0")
    assert rows(settings, "SELECT count(*) FROM delivery_from") == [(300,)]
