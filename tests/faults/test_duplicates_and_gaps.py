"""A log fed twice, sent twice, with gaps, from its middle, out of order: the tables are what they are meant to be."""

import hashlib
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from confluent_kafka import Producer
from faults.mail_log import START, Logged, framed, logged, traditional
from faults.produced import Produced
from faults.tally import Tally

from journal_postfix.supervision.environment import environment_of
from journal_postfix.topics import make
from schemas.raw import encode_batch
from schemas.settings import DatabaseSettings, KafkaSettings, ProducerSettings, Settings, StreamSettings
from schemas.topics import topics_of

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]

MESSAGES = 300
WEEK = 7 * 86_400
TABLES = {
    "delivery_from": ("arrived_at", "queue_id", "host"),
    "delivery_to": ("arrived_at", "queue_id", "host", "recipient", "orig_recipient"),
    "noqueue": ("at", "host", "digest"),
}

Rows = dict[tuple[Any, ...], Any]


class Whole:
    """The whole product, each time with the same settings: ``up --once``."""

    def __init__(self, kafka: KafkaSettings, database: DatabaseSettings, folder: Path) -> None:
        prefix = f"t{secrets.token_hex(4)}."
        self.settings = Settings(
            kafka=kafka.model_copy(update={"topic_prefix": prefix, "partitions": 2}),
            database=database,
            producer=ProducerSettings(host="mx9", timezone="UTC"),
            stream=StreamSettings(application=f"stream-{prefix.rstrip('.')}"),
            data_dir=folder / prefix,
        )
        make(self.settings)

    def feed(self, name: str, content: bytes) -> float:
        """Feed *content* as a file of its own; return the seconds until its last line was in the tables."""
        file = self.settings.data_dir / name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(content)
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "journal_postfix", "up", "--once", "--logfile", file],
            env=environment_of(self.settings, os.environ), capture_output=True, text=True, timeout=180, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-4000:]
        return time.monotonic() - began

    def rows(self) -> dict[str, Rows]:
        """Return the rows of every table, by key, without what says when they were written."""
        found = {}
        parameters: dict[str, Any] = {**self.settings.database.connection_parameters()}
        with psycopg2.connect(**parameters) as connection, connection.cursor() as cursor:
            for table, key in TABLES.items():
                cursor.execute(f"SELECT to_jsonb(t) FROM {table} t")
                rows = [row for (row,) in cursor.fetchall()]
                found[table] = {tuple(row[name] for name in key): row for row in rows}
                assert len(found[table]) == len(rows)
        connection.close()
        return found

    def checksum(self) -> str:
        """Return a digest of all rows."""
        return hashlib.sha256(repr(sorted(map(repr, self.rows().items()))).encode()).hexdigest()


def compare(tally: Tally, what: str, found: dict[str, Rows], wanted: dict[str, Rows]) -> None:
    for table in TABLES:
        tally.compare(f"{what}: {table}", found[table], wanted[table])


@pytest.fixture
def whole(kafka_settings: KafkaSettings, database: DatabaseSettings, tmp_path: Path) -> Callable[[], Whole]:
    """Give a product with new topics and empty tables, each time."""

    parameters: dict[str, Any] = {**database.connection_parameters()}

    def begin() -> Whole:
        with psycopg2.connect(**parameters) as connection, connection.cursor() as cursor:
            for table in TABLES:
                cursor.execute(f"DO $$ BEGIN TRUNCATE {table}; EXCEPTION WHEN undefined_table THEN NULL; END $$")
        connection.close()
        return Whole(kafka_settings, database, tmp_path)

    return begin


@pytest.mark.fault("the same log fed again", fast=1, long=20)
def test_a_log_that_is_fed_again_changes_no_row(whole: Callable[[], Whole], tally: Tally) -> None:
    product, content = whole(), framed(logged(0, MESSAGES))
    product.feed("mail.log", content)
    wanted, checksum = product.rows(), product.checksum()
    assert len(wanted["delivery_to"]) == 2 * MESSAGES
    for number in range(tally.rounds):
        tally.recovered(product.feed(f"again-{number}.log", content))
        tally.injected += 1
        compare(tally, f"fed again {number}", product.rows(), wanted)
        assert product.checksum() == checksum
    tally.notes.append(f"{sum(map(len, wanted.values()))} rows, sha256 {checksum[:16]} each time")
    tally.settle()


@pytest.mark.fault("batches sent again, late and in any order", fast=20, long=200)
def test_batches_that_are_sent_again_change_no_row(whole: Callable[[], Whole], tally: Tally) -> None:
    product = whole()
    product.settings = product.settings.model_copy(
        update={"producer": product.settings.producer.model_copy(update={"batch_lines": 20})}
    )
    lines = list(logged(0, MESSAGES + 60))
    late = next(at for at, line in enumerate(lines) if line.text.startswith(f"{MESSAGES:07X}"))
    product.feed("mail.log", framed(lines[:late]))
    produced = Produced(product.settings).read()
    sender = Producer({"bootstrap.servers": product.settings.kafka.bootstrap_servers})
    topic = topics_of(product.settings.kafka, product.settings.stream).raw.name
    for _ in range(tally.rounds):
        partition, batch = tally.chance.choice(produced.batches)
        sender.produce(topic, encode_batch(batch), partition=partition)
        tally.injected += 1
    assert sender.flush(30) == 0
    produced.close()
    tally.recovered(product.feed("fresh.log", framed(lines[late:])))
    found = product.rows()
    calm = whole()
    calm.feed("mail.log", framed(lines[:late]))
    calm.feed("fresh.log", framed(lines[late:]))
    compare(tally, "sent again", found, calm.rows())
    tally.settle()


@pytest.mark.fault("gaps, a log from its middle, their lines days later", fast=10, long=40)
def test_lines_that_were_missing_put_the_rows_right_when_they_come(whole: Callable[[], Whole], tally: Tally) -> None:
    first = [*logged(0, MESSAGES), *logged(MESSAGES, 2 * MESSAGES, long_ids=True)]
    second = list(logged(2 * MESSAGES, 2 * MESSAGES + 100, start=START + WEEK))  # by then, what is unfinished has left
    missing: set[int] = set(range(tally.chance.randrange(1, 60)))
    tally.injected += 1
    while tally.injected < tally.rounds:
        at = tally.chance.randrange(len(first))
        missing |= set(range(at, min(at + tally.chance.randrange(1, 30), len(first))))
        tally.injected += 1
    missing = {at for at in missing if has_id(first[at])}  # the numbers of lines that are alike begin anew in each file
    kept = [line for at, line in enumerate(first) if at not in missing]
    came_late = [first[at] for at in sorted(missing)]
    touched = {line.text.partition(":")[0] for line in came_late}

    calm = whole()
    calm.feed("mail.log", plain([*first, *second]))
    wanted = calm.rows()
    product = whole()
    product.feed("mail.log", plain([*kept, *second]))
    compare(tally, "messages without a gap", without(product.rows(), touched), without(wanted, touched))
    tally.recovered(product.feed("late.log", plain(came_late)))
    found = product.rows()
    for row in [*found["delivery_to"].values(), *wanted["delivery_to"].values()]:
        del row["origin"]  # whether the origin was known when the attempt was read: bookkeeping of the joins
    compare(tally, "all, when the rest has come", found, wanted)
    tally.notes.append(f"{len(missing)} lines of {len(touched)} messages were missing")
    tally.settle()


def has_id(line: Logged) -> bool:
    """Tell whether it begins with a queue id."""
    return ": " in line.text and "NOQUEUE" not in line.text


def plain(lines: list[Logged]) -> bytes:
    """Return a traditional log of these lines and no others."""
    return "".join(
        f"{traditional(at)} {host} {program}[{pid}]: {text}\n" for at, host, program, pid, text in lines
    ).encode()


def without(rows: dict[str, Rows], queue_ids: set[str]) -> dict[str, Rows]:
    """Leave out the rows of messages with these ids."""
    return {
        table: {key: row for key, row in found.items() if row.get("queue_id") not in queue_ids}
        for table, found in rows.items()
    }
