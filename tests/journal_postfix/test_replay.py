"""``replay``: the log in Kafka once more, by another version of the parser, beside sinks and streams that work."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from confluent_kafka import Producer

from journal_postfix.replaying import targets
from journal_postfix.replaying.running import Outcome, Standing
from schemas.errors import ConfigurationError
from schemas.keys import key_of, partition_of
from schemas.raw import RawBatch, RawLine, StreamPosition, encode_batch
from schemas.settings import DatabaseSettings, Settings
from schemas.topics import topics_of
from sinks import erasing, second_sets, worker
from sinks.comparing import Compared, Difference, compare
from sinks.connecting import connect
from sinks.counts import COUNTS
from sinks.migrating import migrate
from sinks.pseudonymising import pseudonymise
from streams import messages, outputs, shortcuts, state
from streams.parsing import PARSER, Parsed, parse

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]

MIDNIGHT = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)
SINCE = MIDNIGHT - timedelta(hours=1)
TABLES = ("delivery_from", "delivery_to", "noqueue", "tls_sessions")


def line(message: int, daemon: str, text: str, later: int = 0) -> RawLine:
    at = MIDNIGHT + timedelta(hours=2, seconds=message + later)
    return RawLine(int(at.timestamp()) * 1_000_000, f"postfix/{daemon}", 7, f"{message:06X}F1: {text}".encode())


def first_half(message: int) -> list[RawLine]:
    to = "to=<{}@x.test>, relay=r[192.0.2.1]:25, delay=1, delays=0/0/0/1, dsn={}, status={}"
    refused = f"NOQUEUE: reject: RCPT from unknown[192.0.2.6]: 554 5.7.1 <{message}@x.test>: Relay access denied; "
    refused += f"from=<y@y.test> to=<{message}@x.test> proto=SMTP helo=<z>"
    return [
        line(message, "smtpd", "client=c.test[192.0.2.9]"),
        line(message, "cleanup", f"message-id=<{message}@s.test>"),
        line(message, "qmgr", f"from=<a{message % 7}@s.test>, size=500, nrcpt=2 (queue active)"),
        line(message, "smtp", to.format("b", "4.2.1", "deferred (host r[192.0.2.1] said: 450 4.2.1 busy)")),
        line(message, "smtp", to.format("c", "2.0.0", "sent (250 2.0.0 Ok)")),
        msgspec.structs.replace(line(message, "smtpd", ""), text=refused.encode()),
        msgspec.structs.replace(line(message, "smtpd", ""), text=b"disconnect from c.test[192.0.2.9]"),
        msgspec.structs.replace(line(message, "smtpd", ""), text=b"words that no Postfix has ever said"),
    ]


def second_half(message: int) -> list[RawLine]:
    to = "to=<b@x.test>, relay=r[192.0.2.1]:25, delay=1, delays=0/0/0/1, dsn=2.0.0, status=sent (250 2.0.0 Ok)"
    return [line(message, "smtp", to, 7), line(message, "qmgr", "removed", 7)]


def log_of(count: int, first: int = 0) -> list[RawLine]:
    return [each for message in range(first, first + count) for each in (*first_half(message), *second_half(message))]


def feed(settings: Settings, lines: list[RawLine], *junk: bytes) -> None:
    """Produce batches of a few lines, and records that are none."""
    raw = topics_of(settings.kafka, settings.stream).raw
    producer = Producer({"bootstrap.servers": settings.kafka.bootstrap_servers, "linger.ms": 5})
    by_partition: dict[int, list[RawLine]] = {}
    for each in lines:
        number = partition_of(key_of("mx1", each.program, each.pid, each.text), raw.partitions)
        by_partition.setdefault(number, []).append(each)
    for number, own in by_partition.items():
        for start in range(0, len(own), 20):
            batch = RawBatch(host="mx1", source="t", position=StreamPosition(), lines=own[start : start + 20])
            producer.produce(raw.name, encode_batch(batch), partition=number)
    for value in junk:
        producer.produce(raw.name, value, partition=0)
    assert producer.flush(30) == 0


def misreading(program: str, text: str, pid: int, *, subjects: bool) -> Parsed:
    """Read as an older parser might: a wrong sender, a deferral as sent, no reasons, an address with its bracket."""
    parsed = parse(program, text, pid, subjects=subjects)
    if parsed.message is not None and "sender" in parsed.message:
        parsed.message["sender"] = "zzz" + parsed.message["sender"]
    if parsed.refusal is not None:
        return msgspec.structs.replace(
            parsed, refusal=msgspec.structs.replace(parsed.refusal, reply="zzz", reason=None)
        )
    if (attempt := parsed.attempt) is not None and attempt.status == "deferred":
        return msgspec.structs.replace(parsed, attempt=msgspec.structs.replace(attempt, status="sent", reason=None))
    if attempt is not None and attempt.recipient.startswith("c@"):
        return msgspec.structs.replace(parsed, attempt=msgspec.structs.replace(attempt, recipient=">c@x.test"))
    return parsed


@contextmanager
def older_parser(read: Callable[..., Parsed] = misreading) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for module in (messages, outputs, state, shortcuts):
            patch.setattr(module, "PARSER", PARSER - 1)
        patch.setattr(state, "parse", read)
        patch.setattr(state, "shortcut_of", lambda *_, **__: None)
        yield


def shown(_: Standing) -> None:
    """Nobody looks."""


def in_place(settings: Settings, stop: threading.Event | None = None) -> Outcome:
    return targets.in_place(settings, SINCE, None, stop or threading.Event(), shown)


def into(settings: Settings, schema: str, stop: threading.Event | None = None) -> Outcome:
    return targets.into(settings, schema, SINCE, None, stop or threading.Event(), shown)


def compared(settings: Settings, schema: str) -> tuple[dict[str, Compared], list[Difference]]:
    found = list(compare(settings, schema, SINCE, datetime.now(UTC) + timedelta(days=1), 3))
    return (
        {each.table: each for each in found if isinstance(each, Compared)},
        [each for each in found if isinstance(each, Difference)],
    )


def same(settings: Settings, schema: str) -> bool:
    return all(table.same for table in compared(settings, schema)[0].values())


def everything(settings: Settings, schema: str = "public") -> dict[str, list[str]]:
    with closing(connect(settings.database)) as connection, connection.cursor() as cursor:
        rows = {}
        for table in TABLES:
            cursor.execute(f"SELECT t::text FROM {schema}.{table} AS t ORDER BY 1")
            rows[table] = [row for (row,) in cursor.fetchall()]
        return rows


def counted(settings: Settings, schema: str, *, anew: bool = False) -> dict[str, list[tuple[Any, ...]]]:
    """Return what is counted in a set of tables, after a recount if it is wanted *anew*."""
    own = second_sets.in_schema(settings, schema) if schema != "public" else settings
    with closing(connect(own.database)) as connection, connection, connection.cursor() as cursor:
        if anew:
            cursor.execute("SELECT recount()")
        found = {}
        for counts in (counts for of_one in COUNTS.values() for counts in of_one):
            key = ", ".join((counts.time, *counts.key))
            cursor.execute(
                f"SELECT {key}, sum({counts.number}) FROM {counts.table} GROUP BY {key} "
                f"HAVING sum({counts.number}) <> 0 ORDER BY {key}"
            )
            found[counts.table] = cursor.fetchall()
            assert found[counts.table] or counts.table in {"client_counts", "trouble_counts"}, "this mail is no trouble"
        return found


@pytest.fixture
def settings(stream_settings: Settings, migrated: DatabaseSettings, postgres: Any) -> Settings:
    postgres.execute(f"GRANT CREATE ON DATABASE {migrated.dbname} TO {migrated.user}")
    return stream_settings.model_copy(update={"database": migrated})


@contextmanager
def running_sink(settings: Settings) -> Iterator[None]:
    stop, ended = threading.Event(), []
    own = settings.model_copy(
        update={
            "sink": settings.sink.model_copy(update={"group": f"g{settings.kafka.topic_prefix}", "batch_rows": 500})
        }
    )

    def run() -> None:
        worker.run(own, stop)
        ended.append(True)

    thread = threading.Thread(target=run)
    thread.start()
    yield
    stop.set()
    thread.join(40)
    assert ended, "the sink did not fail"


def wait_until(true: Callable[[], bool], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it does not come"
        time.sleep(0.2)


def test_in_place_a_newer_parser_puts_rows_right_and_an_older_one_changes_nothing(settings: Settings) -> None:
    feed(settings, log_of(200), b"no batch", b"")
    with older_parser():
        before = in_place(settings)
    into(settings, "fresh")
    counts, examples = compared(settings, "fresh")
    assert counts["delivery_from"].columns == {"sender": 200}
    assert counts["noqueue"].columns == {"reply": 200, "reason": 200}
    assert (counts["delivery_to"].only_live, counts["delivery_to"].only_replayed) == (200, 200)
    assert any(each.columns.get("sender") == ("zzza0@s.test", "a0@s.test") for each in examples)

    outcome = in_place(settings)
    assert outcome.finished
    assert outcome.counts.lines == outcome.counts.parsed + outcome.counts.ignored + outcome.counts.unparsed == 2000
    assert (outcome.counts.parsed, outcome.counts.unparsed, outcome.counts.dead_letters) == (1600, 200, 2)
    counts, _ = compared(settings, "fresh")
    assert counts["delivery_to"].only_live == 200, "rows that only the wrong reading made stay"
    assert not any((*table.columns, table.only_replayed) != (0,) for table in counts.values())

    right = everything(settings)
    with older_parser():
        assert in_place(settings).counts.rows == before.counts.rows
    assert everything(settings) == right


def test_a_second_set_is_swapped_in_while_a_sink_and_a_stream_work_and_nothing_is_lost(
    settings: Settings, start_stream: Callable[[str], Any]
) -> None:
    feed(settings, log_of(150))
    with older_parser():
        in_place(settings)
    start_stream("one")
    with running_sink(settings):
        feed(settings, log_of(100, 200) + [each for n in range(300, 350) for each in first_half(n)])
        assert into(settings, "replayed").finished
        feed(settings, log_of(100, 400))
        wait_until(lambda: len(everything(settings)["delivery_from"]) == 400)
        swapped = targets.swap(settings, "replayed", threading.Event(), shown)
        assert swapped is not None
        assert swapped.days >= 2
        feed(settings, [each for n in range(300, 350) for each in second_half(n)] + log_of(50, 500))
        wait_until(lambda: len(everything(settings)["delivery_from"]) == 450)
        wait_until(lambda: sum(",sent," in row for row in everything(settings)["delivery_to"]) == 900)

    assert len(everything(settings, "replayed")["delivery_from"]) == 400, "the old rows"
    for schema in ("public", "replayed"):
        assert counted(settings, schema) == counted(settings, schema, anew=True), "counts went with their days"
    into(settings, "fresh")
    assert same(settings, "fresh")
    assert not any(">c@x.test" in row for row in everything(settings)["delivery_to"])
    with pytest.raises(ConfigurationError, match="was swapped"):
        targets.swap(settings, "replayed", threading.Event(), shown)
    assert migrate(settings) == []


def test_a_replay_beside_stream_and_sink_loses_nothing(settings: Settings, start_stream: Callable[[str], Any]) -> None:
    feed(settings, log_of(200))
    start_stream("one")
    with running_sink(settings):
        for part in range(3):
            feed(settings, log_of(100, 1000 + 100 * part))
            in_place(settings)
        wait_until(lambda: sum(",sent," in row for row in everything(settings)["delivery_to"]) == 1000)
    into(settings, "fresh")
    assert same(settings, "fresh")


def test_a_replay_that_is_broken_off_is_run_again(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("journal_postfix.replaying.running._RECORDS", 3)
    feed(settings, log_of(300))
    stop = threading.Event()
    stop.set()
    broken_off = into(settings, "replayed", stop)
    assert not broken_off.finished
    rest = into(settings, "replayed")
    assert rest.finished
    assert broken_off.counts.lines + rest.counts.lines == 3000, "it went on where it was"

    assert not in_place(settings, stop).finished
    assert in_place(settings).finished
    assert same(settings, "replayed")


def test_nobody_who_was_erased_comes_back(settings: Settings) -> None:
    feed(settings, log_of(20))
    in_place(settings)
    erasing.erase(settings, "a3@s.test", "remove", lambda _: None)
    in_place(settings)
    into(settings, "replayed")
    for schema in ("public", "replayed"):
        assert not any("a3@s.test" in row for row in everything(settings, schema)["delivery_from"])

    erasing.erase(settings, "a4@s.test", "remove", lambda _: None)
    with pytest.raises(ConfigurationError, match="erased"):
        targets.swap(settings, "replayed", threading.Event(), shown)


def test_no_name_comes_back_to_days_that_are_pseudonymised(settings: Settings) -> None:
    feed(settings, log_of(20))
    in_place(settings)
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).date()
    into(settings, "named")
    pseudonymise(settings, tomorrow, lambda _: None)
    in_place(settings)
    into(settings, "replayed")
    for schema in ("public", "replayed"):
        assert not any(",a3@s.test," in row for row in everything(settings, schema)["delivery_from"])
    assert any(",a3@s.test," in row for row in everything(settings, "named")["delivery_from"])
    with pytest.raises(ConfigurationError, match="pseudonymised since"):
        targets.swap(settings, "named", threading.Event(), shown)


def test_a_schema_that_holds_something_else_is_left_alone(settings: Settings) -> None:
    with closing(connect(settings.database)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA theirs; CREATE TABLE theirs.mine (a integer)")
    with pytest.raises(ConfigurationError, match="holds something else"):
        into(settings, "theirs")
    for name in ("public", "Replayed", "pg_replay", "a b"):
        with pytest.raises(ConfigurationError, match="schema"):
            into(settings, name)
    with pytest.raises(ConfigurationError, match="no second set"):
        second_sets.replayed(settings, "nowhere")
