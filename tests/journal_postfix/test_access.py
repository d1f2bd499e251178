"""What a Kafka that asks who is there has to allow each stage: enough for its work, and nothing of it can be missed."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from secured_broker import PASSWORD, Secured

from journal_postfix.access import WORK, Rule, Work, commands, rules
from journal_postfix.broker import reach
from journal_postfix.dead_letters import Wanted, letters
from journal_postfix.replaying.source import Source
from journal_postfix.topics import make
from schemas.errors import ConfigurationError
from schemas.kafka import client_config
from schemas.settings import DatabaseSettings, KafkaSettings, Settings, StreamSettings
from schemas.topics import topics_of
from streams import worker as stream_worker
from streams.outputs import Write
from streams.transactions import CheckpointFailedError, FencedError, Transactions

pytestmark = [pytest.mark.kafka]


@pytest.fixture
def run(secured: Secured, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Give a way to run a command as the user of its work."""
    started = []

    def run(work: Work, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        kafka = secured.settings(work).kafka
        given = {
            "JOURNAL_POSTFIX_KAFKA__BOOTSTRAP_SERVERS": str(kafka.bootstrap_servers),
            "JOURNAL_POSTFIX_KAFKA__SECURITY_PROTOCOL": "SASL_PLAINTEXT",
            "JOURNAL_POSTFIX_KAFKA__SASL_MECHANISM": "PLAIN",
            "JOURNAL_POSTFIX_KAFKA__SASL_USERNAME": work,
            "JOURNAL_POSTFIX_KAFKA__SASL_PASSWORD": PASSWORD,
            "JOURNAL_POSTFIX_KAFKA__TOPIC_PREFIX": "acl.",
            "JOURNAL_POSTFIX_KAFKA__PARTITIONS": "2",
            "JOURNAL_POSTFIX_STREAM__APPLICATION": "acl-app",
            "JOURNAL_POSTFIX_STREAM__SESSION_TIMEOUT_SECONDS": "6",
            "JOURNAL_POSTFIX_SINK__GROUP": "acl-sink",
        }
        log = tmp_path / f"{work}-{len(started)}.log"
        with log.open("w") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "journal_postfix", *arguments],
                env={**os.environ, **given, **environment}, stdout=output, stderr=output, text=True,
            )  # fmt: skip
        process.log = log  # type: ignore[attr-defined]
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.wait()


def said(process: Any) -> str:
    return str(process.log.read_text())


LINES = """\
Nov 22 06:00:00 mx1 postfix/smtpd[7]: 4F0A12C9D3: client=c.example.net[192.0.2.1]
Nov 22 06:00:00 mx1 postfix/cleanup[8]: 4F0A12C9D3: message-id=<a@example.net>
Nov 22 06:00:00 mx1 postfix/qmgr[9]: 4F0A12C9D3: from=<s@example.net>, size=7, nrcpt=1 (queue active)
Nov 22 06:00:01 mx1 postfix/smtp[10]: 4F0A12C9D3: to=<r@example.org>, relay=mx.example.org[192.0.2.9]:25, delay=1, \
delays=0/0/0/1, dsn=2.0.0, status=sent (250 2.0.0 Ok)
Nov 22 06:00:01 mx1 postfix/qmgr[9]: 4F0A12C9D3: removed
Nov 22 06:00:02 mx1 postfix/smtpd[7]: NOQUEUE: reject: RCPT from c.example.net[192.0.2.1]: 554 5.7.1 \
<x@example.org>: Relay access denied; from=<s@example.net> to=<x@example.org> proto=ESMTP helo=<c>
"""


@pytest.mark.postgres
def test_what_is_listed_is_enough(
    secured: Secured, run: Callable[..., Any], tmp_path: Path, migrated: DatabaseSettings, wait_for_rows: Any
) -> None:
    for work in WORK:
        secured.allow(work, rules(secured.settings(work), work))
    log = tmp_path / "mail.log"
    log.write_text(LINES)
    database = {
        f"JOURNAL_POSTFIX_DATABASE__{name.upper()}": str(value)
        for name, value in migrated.model_dump(mode="json", exclude_none=True).items()
        if name != "password"
    }
    if migrated.password is not None:
        database["JOURNAL_POSTFIX_DATABASE__PASSWORD"] = migrated.password.get_secret_value()
    checks = [
        run("produce", "check", "--stage=produce"),
        run("stream", "check", "--stage=stream"),
        run("sink", "check", "--stage=sink", **database),
    ]
    for check in checks:
        assert check.wait(60) == 0, said(check)
    for _ in range(2):  # the second reads where the first was
        produce = run("produce", "produce", "logfile", "--year=2026", str(log))
        assert produce.wait(60) == 0, said(produce)
    assert "sent 0" in said(produce)
    stream, sink = run("stream", "stream", JOURNAL_POSTFIX_LOG_LEVEL="debug"), run("sink", "sink", **database)
    wait_for_rows(migrated, "SELECT status FROM deliveries", [("sent",)], (stream, sink))
    wait_for_rows(migrated, "SELECT code FROM noqueue", [(554,)], (stream, sink))
    for stage in (stream, sink):
        stage.send_signal(signal.SIGTERM)
        assert stage.wait(60) == 0, said(stage)
        assert "uthorization failed" not in said(stage), said(stage)
        assert PASSWORD not in said(stage)


@pytest.fixture
def wait_for_rows() -> Callable[..., None]:
    """Give a wait for what a query finds."""
    from sinks.connecting import connect  # noqa: PLC0415 - only here

    def wait(database: DatabaseSettings, statement: str, rows: list[Any], stages: tuple[Any, ...]) -> None:
        connection = connect(database)
        connection.autocommit = True
        deadline = time.monotonic() + 60
        with connection.cursor() as cursor:
            while True:
                cursor.execute(statement)
                if (found := cursor.fetchall()) == rows:
                    break
                for stage in stages:
                    assert stage.poll() is None, said(stage)
                assert time.monotonic() < deadline, (found, [said(stage) for stage in stages])
                time.sleep(0.2)
        connection.close()

    return wait


def _without(settings: Settings, work: Work) -> list[Any]:
    """Return each way to leave one right out: the rest, and what is left out."""
    given = rules(settings, work)
    return [
        pytest.param(
            work,
            tuple(
                Rule(r.resource, r.name, tuple(o for o in r.operations if (r, o) != (rule, operation)), r.prefixed)
                for r in given
            ),
            id=f"{work}-{operation}-{rule.name}",
        )
        for rule in given
        for operation in rule.operations
    ]


_SETTINGS = Settings(
    kafka=KafkaSettings(topic_prefix="acl.", partitions=2), stream=StreamSettings(application="acl-app")
)


@pytest.mark.parametrize(("work", "given"), _without(_SETTINGS, "produce"))
def test_a_check_or_a_run_of_a_producer_misses_each(
    secured: Secured, run: Callable[..., Any], tmp_path: Path, work: Work, given: tuple[Rule, ...]
) -> None:
    secured.allow(work, given)
    if ("acl.dead-letter", "Write") in {(r.name, o) for r in rules(_SETTINGS, work) for o in r.operations} - {
        (r.name, o) for r in given for o in r.operations
    }:
        lines = "x" * 70_000 + "\n" + LINES  # one line is too long
    else:
        lines = LINES
    log = tmp_path / "mail.log"
    log.write_text(lines)
    check = run(work, "check", "--stage=produce")
    produce = run(work, "produce", "logfile", "--year=2026", str(log))
    assert (check.wait(60), produce.wait(60)) != (0, 0), said(check) + said(produce)


def test_without_rights_the_topics_can_not_be_made(secured: Secured) -> None:
    secured.allow("sink", rules(_SETTINGS, "sink"))
    with pytest.raises(ConfigurationError, match="rights to create and alter topics"):
        make(secured.settings("sink"))


def test_a_topic_that_may_be_seen_but_not_read_is_named_with_what_lets_it(secured: Secured) -> None:
    for user in ("produce", "operate", "sink"):
        secured.allow(user, rules(_SETTINGS, user))
        deadline = time.monotonic() + 30
        while "acl.dead-letter" not in reach(secured.settings(user))[1].topics:  # the broker has yet to hear of it
            assert time.monotonic() < deadline
            time.sleep(0.1)
    producer = Producer(client_config(secured.settings("produce").kafka, "test") | {"log_level": 0})
    refused = []
    for name in ("acl.raw", "acl.dead-letter"):
        producer.produce(name, b"of no stage", on_delivery=lambda error, _: refused.append(error))
    assert (producer.flush(30), refused) == (0, [None, None])
    source = Source(secured.settings("operate"))
    with closing(source), pytest.raises(ConfigurationError, match=r"may not read acl\.raw.*acls stream"):
        list(source.read(source.stretches(datetime.now(UTC) - timedelta(days=1), None)))
    with pytest.raises(ConfigurationError, match=r"may not read acl\.dead-letter.*acls operate"):
        letters(secured.settings("sink"), Wanted())


def test_a_topic_that_a_worker_may_not_see_is_not_called_missing(secured: Secured) -> None:
    settings = secured.settings("stream")
    secured.allow("stream", tuple(r for r in rules(settings, "stream") if r.name != "acl.delivery-from"))
    with pytest.raises(ConfigurationError, match=r"no right to know of the topics .*acl\.delivery-from"):
        stream_worker.run(settings)


@pytest.mark.parametrize(
    ("lost", "why"),
    [
        ("acl.delivery-from", "Topic authorization failed"),
        ("acl-app-", "Transactional Id authorization failed"),
    ],
)
def test_a_right_that_is_taken_from_a_worker_is_not_a_partition_that_went_elsewhere(
    secured: Secured, lost: str, why: str
) -> None:
    settings = secured.settings("stream")
    given = rules(settings, "stream")
    secured.allow("stream", given)
    written = topics_of(settings.kafka, settings.stream).delivery_from.name
    transactions = Transactions(0, client_config(settings.kafka, "test"), "acl-app-0", written)
    secured.allow("stream", tuple(rule for rule in given if rule.name != lost))
    with ThreadPoolExecutor(1) as executor, pytest.raises(CheckpointFailedError, match=why) as failed:
        asyncio.run(transactions.write([Write(written, b"key", b"value", 0)], executor))
    assert not isinstance(failed.value, FencedError)


def test_the_commands_for_kafka_s_own_tool_say_it_all() -> None:
    said = commands(_SETTINGS, "stream", "User:jp-stream")
    assert len(said) == len(rules(_SETTINGS, "stream"))
    assert all(line.startswith("kafka-acls.sh --bootstrap-server HOST:PORT --add --allow-principal User:jp-stream ")
               for line in said)  # fmt: skip
    assert said[-1].endswith("--operation Write --transactional-id acl-app- --resource-pattern-type prefixed")
