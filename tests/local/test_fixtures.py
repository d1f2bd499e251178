"""The shared fixtures: real parts, or an honest skip, which CI takes for a failure."""

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from confluent_kafka.admin import AdminClient

from schemas.settings import DatabaseSettings, KafkaSettings

TESTS = Path(__file__).parents[1]


@pytest.mark.kafka
def test_broker_answers_and_has_none_of_this_tests_topics(kafka_settings: KafkaSettings) -> None:
    found = AdminClient({"bootstrap.servers": kafka_settings.bootstrap_servers}).list_topics(timeout=30)
    assert found.brokers
    assert not [name for name in found.topics if name.startswith(kafka_settings.topic_prefix)]


@pytest.mark.postgres
@pytest.mark.parametrize("time", ["first", "second"])
def test_database_is_empty_and_belongs_to_an_ordinary_role(database: DatabaseSettings, time: str) -> None:
    parameters: dict[str, Any] = database.connection_parameters()
    with closing(psycopg2.connect(**parameters)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
        assert cursor.fetchone() == (0,)
        cursor.execute(f"CREATE TABLE public.{time}_table ()")
        cursor.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
        assert cursor.fetchone() == (False,)


@pytest.mark.parametrize(("ci", "outcome"), [("", "1 skipped"), ("true", "1 error")])
def test_missing_part_is_a_skip_with_its_reason_and_in_ci_a_failure(tmp_path: Path, ci: str, outcome: str) -> None:
    test = tmp_path / "test_it.py"
    test.write_text("def test_it(broker): assert broker\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "conftest", "-ra", f"--rootdir={tmp_path}", test],
        cwd=tmp_path,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{TESTS}:{TESTS.parent}",
            "CI": ci,
            "DOCKER_HOST": f"unix://{tmp_path}/no-engine",
            "JOURNAL_POSTFIX_JAVA": str(tmp_path / "no-java"),
        },
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert outcome in done.stdout, done.stdout + done.stderr
    assert "no broker: no container engine" in done.stdout
    assert "no-java is no java that runs here" in done.stdout
