"""Migrations are applied once, in order; a database that is newer or was changed is refused."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from pydantic import SecretStr

from schemas.deliveries import DeliveryFrom, DeliveryTo, Rejection
from schemas.errors import ConfigurationError, TryAgainLaterError
from schemas.settings import DatabaseSettings, Settings
from schemas.tls_sessions import TlsSession
from sinks.migrating import migrate, migrations, pending

pytestmark = pytest.mark.postgres

NAMES = [migration.name for migration in migrations()]


def test_they_are_numbered_without_a_gap() -> None:
    assert [name[:4] for name in NAMES] == [f"{number:04d}" for number in range(1, len(NAMES) + 1)]


def test_each_is_applied_once(database: DatabaseSettings) -> None:
    settings = Settings(database=database)
    assert pending(settings) == NAMES
    assert migrate(settings) == NAMES
    assert migrate(settings) == pending(settings) == []


def test_of_several_at_once_one_applies_them(database: DatabaseSettings) -> None:
    with ThreadPoolExecutor(4) as threads:
        done = list(threads.map(migrate, [Settings(database=database)] * 4))
    assert sorted(done, key=len) == [[], [], [], NAMES]


def test_a_newer_database_asks_for_an_upgrade(settings: Settings, query: Any) -> None:
    query("INSERT INTO schema_migrations (name, checksum) VALUES ('9999_later.sql', '')")
    for ask in (migrate, pending):
        with pytest.raises(ConfigurationError, match=r"9999_later.*upgrade"):
            ask(settings)


def test_a_file_that_changed_after_it_was_applied_is_refused(settings: Settings, query: Any) -> None:
    query("UPDATE schema_migrations SET checksum = 'x' WHERE name = %s", NAMES[0])
    for ask in (migrate, pending):
        with pytest.raises(ConfigurationError, match=NAMES[0]):
            ask(settings)


def test_one_that_fails_leaves_nothing(settings: Settings, query: Any) -> None:
    query("DROP TABLE schema_migrations")
    with pytest.raises(ConfigurationError, match="nothing was changed"):
        migrate(settings)
    assert query("SELECT to_regclass('schema_migrations')") == [(None,)]


@pytest.mark.parametrize(
    ("table", "record"),
    [
        ("delivery_from", DeliveryFrom),
        ("delivery_to", DeliveryTo),
        ("noqueue", Rejection),
        ("tls_sessions", TlsSession),
    ],
)
def test_columns_are_the_fields_of_the_records(query: Any, table: str, record: Any) -> None:
    columns = query("SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0", table)
    assert {name for (name,) in columns} == set(record.__struct_fields__) - {"version"}


def test_text_that_is_merged_is_in_byte_order(query: Any) -> None:
    assert query(
        "SELECT attrelid::regclass::text, attname FROM pg_attribute JOIN pg_collation c ON c.oid = attcollation "
        "WHERE attrelid = ANY(ARRAY['delivery_from', 'delivery_to', 'noqueue', 'tls_sessions']::regclass[]) "
        "AND collname <> 'C'"
    ) == [("delivery_to", "history")]


def test_a_server_that_is_away_and_one_that_refuses_are_told_apart(database: DatabaseSettings) -> None:
    away = database.model_copy(update={"host": "127.0.0.1", "port": 1, "password": SecretStr("hush-hush")})
    with pytest.raises(TryAgainLaterError) as caught:
        migrate(Settings(database=away))
    assert "hush" not in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(ConfigurationError, match="nobody-made-it"):
        migrate(Settings(database=database.model_copy(update={"dbname": "nobody-made-it"})))
