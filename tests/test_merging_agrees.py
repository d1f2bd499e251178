"""The merge rules in Python and in SQL are the same: any order, any grouping, any repetition gives one row."""

from collections.abc import Iterator
from copy import deepcopy
from itertools import product
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from schemas.deliveries import DeliveryFrom, DeliveryTo
from schemas.merging import (
    LATEST_FIELDS,
    MESSAGE_FIELDS,
    merge_deliveries,
    merge_messages,
    normalise_delivery,
    normalise_message,
)
from schemas.settings import DatabaseSettings, Settings
from schemas.timestamps import to_text
from sinks.batches import Batch
from sinks.connecting import connect
from sinks.writing import Writer
from tests.schemas.test_merging import many_attempts, merged_deliveries

pytestmark = pytest.mark.postgres

KEY = {"host": "mx1", "queue_id": "9D5CB98A3E3", "arrived_at": "2026-11-22T06:00:00.000000Z", "origin": 2}
TEXTS = st.sampled_from(["", "a", "B", "é", "z\\n", "\t", '"q" {x,y}', "\\N", "\x01\x02", "NULL", "𝄞", "z" * 200])
MOMENTS = st.integers(0, 3).map(lambda n: to_text(1_763_800_000_000_000 + n * 500_000))


def maybe(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


NUMBERS = {"size", "recipient_count", "client_port", "uid", "pid"}
FIELDS = {
    field: maybe(MOMENTS if field.endswith("_at") else st.integers(0, 3) if field in NUMBERS else TEXTS)
    for field in MESSAGE_FIELDS
    if field != "origin"
}
OLDER = st.none() | st.sampled_from(
    ["sender:0", "sender:1 verp_id:0", "client_name:1 sender:0", "message_id:1 pid:0", "helo:1", "nonsense:x"]
)


def message(fields: dict[str, Any]) -> DeliveryFrom:
    row = DeliveryFrom(**KEY, **fields)
    normalise_message(row)
    return row


SENDERS = {field: maybe(st.sampled_from(["", "a", "B", "é"])) for field in ("sender", "verp_id")}
READERS = {"parser": st.integers(0, 2), "older": OLDER}
MESSAGES = (
    st.fixed_dictionaries(READERS, optional=FIELDS)
    # Nothing but what decides of the sender: the more such versions, the more ways to be wrong.
    | st.fixed_dictionaries({**READERS, **SENDERS, "queued_at": maybe(MOMENTS)})
    | st.fixed_dictionaries({**SENDERS, "queued_at": maybe(MOMENTS)})
).map(message)


@st.composite
def deliveries(draw: st.DrawFn) -> DeliveryTo:
    """A version of one delivery as the stream writes it, or as another program could."""
    status = draw(st.sampled_from(["sent", "deferred", "bounced", "rejected", "SOFTBOUNCE", "deliverable"]))
    at = draw(MOMENTS)
    row = DeliveryTo(
        **KEY,
        recipient="r@x.test",
        last_attempt_at=at,
        status=status,
        number=draw(st.sampled_from([0, 7, 12_345_678, 2**31 - 1])),
        parser=draw(st.integers(0, 2)),
        service=draw(st.sampled_from(["smtp", "lmtp"])),
        dsn=draw(st.sampled_from(["", "2.0.0"])),
        relay=draw(TEXTS),
        reply=draw(TEXTS),
        delay=draw(maybe(st.sampled_from([0.0, 0.03, 1.5, 86400.0]))),
        delays=draw(maybe(st.just("0/0/0/1"))),
        connection_use=draw(maybe(st.integers(1, 3))),
        tls=draw(maybe(st.just("verified"))),
        queued_as=draw(maybe(st.just("9D5CB98A3E4"))),
        next_queue_id=draw(maybe(st.just("9D5CB98A3E5"))),
        code=draw(maybe(st.just(550))),
        reason=draw(maybe(st.sampled_from(["spam", "policy"]))),
        pid=draw(maybe(st.integers(1, 2))),
        first_attempt_at=min(at, draw(MOMENTS)),
        attempts=int(status != "rejected"),
    )
    normalise_delivery(row)
    return row


@pytest.fixture
def settings(migrated: DatabaseSettings) -> Settings:
    return Settings(database=migrated)


@pytest.fixture
def writer(settings: Settings) -> Iterator[Writer]:
    writer = Writer(settings)
    yield writer
    writer.close()


@pytest.fixture
def connection(settings: Settings) -> Iterator[Connection]:
    connection = connect(settings.database)
    connection.autocommit = True
    yield connection
    connection.close()


def rows(connection: Connection, table: str, fields: tuple[str, ...]) -> list[tuple[Any, ...]]:
    columns = ", ".join(
        f"to_char({field} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')" if field.endswith("_at") else field
        for field in fields
    )
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {columns} FROM {table}")
        return cursor.fetchall()


def empty(connection: Connection) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM delivery_from; DELETE FROM delivery_to; DELETE FROM noqueue")


def batches_of(data: st.DataObject, versions: list[Any]) -> list[list[Any]]:
    """The versions in any order, some of them twice, cut anywhere."""
    order = data.draw(st.permutations(versions)) + data.draw(st.lists(st.sampled_from(versions), max_size=2))
    batches: list[list[Any]] = [[]]
    for version in order:
        batches[-1].append(version)
        if data.draw(st.booleans()):
            batches.append([])
    return batches


@pytest.mark.usefixtures("settings")
@examples(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(MESSAGES, min_size=1, max_size=4), st.data())
def test_messages(writer: Writer, connection: Connection, versions: list[DeliveryFrom], data: st.DataObject) -> None:
    empty(connection)
    order = data.draw(st.permutations(versions))
    merged = msgspec.structs.replace(order[0])
    for version in order[1:]:
        merge_messages(merged, version)
    for group in batches_of(data, versions):
        batch = Batch()
        for version in group:
            row = msgspec.structs.replace(version)
            if batch.messages:
                merge_messages(next(iter(batch.messages.values())), row)
            else:
                batch.messages[row.host, row.queue_id, row.arrived_at] = row
        writer.write(batch, {})

    fields = ("host", "queue_id", "arrived_at", "parser", "older", *MESSAGE_FIELDS)
    assert rows(connection, "delivery_from", fields) == [tuple(getattr(merged, field) for field in fields)]


def test_any_two_senders_of_a_message(writer: Writer, connection: Connection) -> None:
    kinds = [
        {"parser": parser, "queued_at": queued_at, "sender": sender, "verp_id": verp_id}
        for parser, queued_at, sender, verp_id in product(
            (1, 2), (None, KEY["arrived_at"]), (None, "", "a", "z"), (None, "a", "z")
        )
    ]
    merged, first, second = {}, Batch(), Batch()
    for number, (ours, theirs) in enumerate(product(kinds, repeat=2)):
        key = {**KEY, "queue_id": f"{number:06d}"}
        name = (key["host"], key["queue_id"], key["arrived_at"])
        row = merged[name] = DeliveryFrom(**key, **ours)
        first.messages[name] = msgspec.structs.replace(row)
        second.messages[name] = DeliveryFrom(**key, **theirs)
        merge_messages(row, second.messages[name])
    for batch in (first, second, first, second):
        writer.write(batch, {})

    fields = ("queue_id", "parser", "older", "queued_at", "sender", "verp_id")
    expected = [tuple(getattr(row, field) for field in fields) for row in merged.values()]
    assert sorted(rows(connection, "delivery_from", fields)) == expected


@examples(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(deliveries(), min_size=1, max_size=5), st.data())
def test_deliveries(writer: Writer, connection: Connection, versions: list[DeliveryTo], data: st.DataObject) -> None:
    empty(connection)
    order = data.draw(st.permutations(versions))
    merged = deepcopy(order[0])
    for version in order[1:]:
        merge_deliveries(merged, deepcopy(version))
    for group in batches_of(data, versions):
        batch = Batch()
        for version in group:
            if batch.deliveries:
                merge_deliveries(next(iter(batch.deliveries.values())), deepcopy(version))
            else:
                key = (version.host, version.queue_id, version.arrived_at, version.recipient, version.orig_recipient)
                batch.deliveries[key] = deepcopy(version)
        writer.write(batch, {})

    fields = ("recipient", *LATEST_FIELDS, "first_attempt_at", "attempts", "history")
    assert rows(connection, "delivery_to", fields) == [tuple(getattr(merged, field) for field in fields)]


def test_a_history_that_is_too_long(writer: Writer, connection: Connection) -> None:
    lines = many_attempts()
    for own in (lines[1::2], lines[::2], lines[: len(lines) // 2], lines[-3:]):
        row, batch = merged_deliveries(own), Batch()
        batch.deliveries[row.host, row.queue_id, row.arrived_at, row.recipient, row.orig_recipient] = row
        writer.write(batch, {})

    merged = merged_deliveries(lines)
    fields = ("recipient", "origin", *LATEST_FIELDS, "first_attempt_at", "attempts", "history")
    assert rows(connection, "delivery_to", fields) == [tuple(getattr(merged, field) for field in fields)]
