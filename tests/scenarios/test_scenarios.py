"""Whole messages, as Postfix logs them, become the rows that a person would expect: see ``cases/*.toml``.

Each is fed in order, twice over, and with its partitions' records and checkpoints in some order: the rows are the same.
"""

import secrets
import tomllib
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from engine_containers import Postgres
from psycopg2 import sql
from scenarios.pipeline import Pipeline

from journal_postfix.local.database_config import ROLE
from schemas.settings import Settings
from sinks.connecting import connect
from sinks.migrating import migrate
from sinks.writing import Writer

pytestmark = pytest.mark.postgres

SCENARIOS = [
    pytest.param(scenario, id=f"{file.stem}: {scenario['title']}")
    for file in sorted((Path(__file__).parent / "cases").glob("*.toml"))
    for scenario in tomllib.loads(file.read_text(encoding="utf-8"))["scenario"]
]


@pytest.fixture(scope="module")
def migrated(postgres: Postgres) -> Iterator[Settings]:
    """A migrated database for all scenarios."""
    name = sql.Identifier(dbname := f"t{secrets.token_hex(6)}")
    postgres.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(name, sql.Identifier(ROLE)))
    settings = Settings(database=postgres.owner.model_copy(update={"dbname": dbname}))
    migrate(settings)
    yield settings
    postgres.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


@pytest.fixture
def settings(migrated: Settings) -> Settings:
    """Its settings, with the tables empty."""
    connection = connect(migrated.database)
    with connection, connection.cursor() as cursor:
        cursor.execute("TRUNCATE delivery_from, delivery_to, noqueue, tls_sessions, sink_positions")
    connection.close()
    return migrated


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("way", ["in order", "twice", "interleaved"])
def test_a_log_becomes_the_rows_that_a_person_would_expect(
    settings: Settings, way: str, scenario: dict[str, Any]
) -> None:
    chosen = settings.model_copy(update={"stream": settings.stream.model_copy(update=scenario.get("stream", {}))})
    log = log_of(scenario)
    writer, connection = Writer(chosen), connect(chosen.database)
    try:
        pipeline = Pipeline(chosen, writer, connection)
        pipeline.feed(log, Random(7) if way == "interleaved" else None)
        if way == "twice":
            pipeline.feed(log)
        connection.rollback()
        found, refused = pipeline.deliveries(), pipeline.rejects()
    finally:
        writer.close()
        connection.close()

    assert unmatched(found, scenario.get("deliveries", [])) == ([], [])
    if "rejects" in scenario:
        assert unmatched(refused, scenario["rejects"]) == ([], [])
    times = 2 if way == "twice" else 1
    for name, number in scenario.get("counts", {}).items():
        assert pipeline.counts().get(name, 0) == number * times, pipeline.counts()


def log_of(scenario: dict[str, Any]) -> bytes:
    """The log, with the bytes that TOML can't hold written as in Python."""
    text: str = scenario["log"]
    log = text.encode()
    if scenario.get("escapes"):
        log = text.encode("latin-1", "backslashreplace").decode("unicode_escape").encode("latin-1")
    return log


def unmatched(found: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> tuple[list[Any], list[Any]]:
    """Return the rows that nobody expected, and the expectations that no row fulfils."""
    left = list(found)
    missing = []
    for expected in wanted:
        for row in left:
            if all(row.get(field) == (None if value == "-" else value) for field, value in expected.items()):
                left.remove(row)
                break
        else:
            missing.append(expected)
    return left, missing
