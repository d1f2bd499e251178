"""What `check` says of a real PostgreSQL: its version, tables, clock, and the rights of the role that asks."""

import secrets
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg2
import pytest
from psycopg2 import sql

from journal_postfix.checking import Finding, findings
from journal_postfix.checking.database import database_findings
from journal_postfix.checking.finding import Stage
from schemas.errors import ConfigurationError
from schemas.settings import DatabaseSettings, Settings
from sinks import migrating
from sinks.migrating import migrations
from sinks.roles import grant

pytestmark = pytest.mark.postgres


def bad(settings: DatabaseSettings, stage: Stage | None = None) -> list[Finding]:
    return [finding for finding in database_findings(Settings(database=settings), stage) if not finding.good]


@pytest.fixture
def execute(migrated: DatabaseSettings) -> Callable[[str], None]:
    """Give a way to run a statement as the tables' owner."""

    def run(statement: str) -> None:
        connection = psycopg2.connect(**migrated.connection_parameters())
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
        connection.close()

    return run


@pytest.fixture
def role(postgres: Any, migrated: DatabaseSettings) -> Iterator[DatabaseSettings]:
    """Give settings of a new role on the migrated database, that was given nothing."""
    name = f"jp_check_{secrets.token_hex(4)}"
    password = migrated.password.get_secret_value() if migrated.password else "x"
    postgres.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(name), sql.Literal(password)))
    yield migrated.model_copy(update={"user": name})
    postgres.execute(
        sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(migrated.dbname)),
        sql.SQL("CREATE DATABASE {}").format(sql.Identifier(migrated.dbname)),
        sql.SQL("DROP ROLE {}").format(sql.Identifier(name)),
    )


@pytest.mark.parametrize("stage", [None, "sink", "read"])
def test_the_owner_of_up_to_date_tables_lacks_nothing(migrated: DatabaseSettings, stage: Stage | None) -> None:
    found = list(database_findings(Settings(database=migrated), stage))
    assert all(finding.good for finding in found)
    said = [finding.text for finding in found]
    assert said[0].startswith("PostgreSQL 1")
    assert "the tables are up to date" in said
    assert "PostgreSQL's clock agrees with ours" in said


def test_what_was_not_migrated_is_named(database: DatabaseSettings) -> None:
    [finding] = bad(database)
    assert finding.text == f"the tables lack {', '.join(migration.name for migration in migrations())}"
    assert finding.advice == "journal-postfix migrate"


def test_the_rights_that_a_migration_gives_are_enough(migrated: DatabaseSettings, role: DatabaseSettings) -> None:
    for stage, given in (("sink", {"sinks": [str(role.user)]}), ("read", {"readers": [str(role.user)]})):
        grant(Settings(database=migrated), **given)
        assert bad(role, stage) == []  # type: ignore[arg-type]


def test_a_reader_is_no_sink(migrated: DatabaseSettings, role: DatabaseSettings) -> None:
    grant(Settings(database=migrated), readers=[str(role.user)])
    said = bad(role, "sink")
    assert f"role {role.user} lacks DELETE, INSERT, UPDATE on delivery_from" in [finding.text for finding in said]
    assert {f.advice for f in said} == {f"journal-postfix migrate --grant-to-sink {role.user}, as the tables' owner"}


@pytest.mark.parametrize(
    ("revoked", "said"),
    [
        ("UPDATE ON delivery_to", "UPDATE on delivery_to"),
        ("INSERT, UPDATE ON sink_positions", "INSERT, UPDATE on sink_positions"),
        ("EXECUTE ON FUNCTION make_day_partition(text, date)", "EXECUTE on make_day_partition(text, date)"),
    ],
)
def test_a_right_of_the_sink_that_is_missing_is_named(
    migrated: DatabaseSettings, role: DatabaseSettings, execute: Callable[[str], None], revoked: str, said: str
) -> None:
    grant(Settings(database=migrated), sinks=[str(role.user)])
    execute(f"REVOKE {revoked} FROM {role.user}")
    [finding] = bad(role, "sink")
    assert finding.text == f"role {role.user} lacks {said}"


def test_temporary_tables_are_a_right_of_the_sink(
    migrated: DatabaseSettings, role: DatabaseSettings, execute: Callable[[str], None]
) -> None:
    grant(Settings(database=migrated), sinks=[str(role.user)])
    execute(f"REVOKE TEMPORARY ON DATABASE {migrated.dbname} FROM PUBLIC")
    [finding] = bad(role, "sink")
    assert finding.text == f"role {role.user} lacks TEMPORARY on the database"
    grant(Settings(database=migrated), readers=[str(role.user)])
    assert bad(role, "read") == []


def test_a_role_that_was_given_nothing_is_told_how_it_gets_it(role: DatabaseSettings) -> None:
    [finding] = bad(role, "read")
    assert finding.text == f"role {role.user} may not look at the tables in schema public"
    assert finding.advice == f"journal-postfix migrate --grant-to-reader {role.user}, as the tables' owner"


def test_a_schema_that_is_not_there_is_named(migrated: DatabaseSettings) -> None:
    [finding] = bad(migrated.model_copy(update={"schema_name": "elsewhere"}))
    assert finding.text == "schema elsewhere is missing"


def test_tables_of_a_newer_version_are_one_finding(migrated: DatabaseSettings, execute: Callable[[str], None]) -> None:
    execute("INSERT INTO schema_migrations VALUES ('9999_tomorrow.sql', '')")
    with pytest.raises(ConfigurationError, match="it is newer"):
        bad(migrated)
    [finding] = [f for f in findings(Settings(database=migrated), "read") if not f.good]
    assert (finding.part, "9999_tomorrow.sql" in finding.text) == ("PostgreSQL", True)


def test_a_server_that_is_too_old_is_told(migrated: DatabaseSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrating, "OLDEST_SERVER", 990_000)
    [finding] = bad(migrated)
    assert "is too old: the tables' functions need 99" in finding.text


def test_a_clock_that_is_wrong_is_told(migrated: DatabaseSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    real = time.time
    monkeypatch.setattr("journal_postfix.checking.database.time.time", lambda: real() - 60)
    [finding] = bad(migrated)
    assert finding.part == "clock"
    assert "ahead of ours" in finding.text
