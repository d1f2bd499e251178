"""The page of tables and topics says what a migrated database and the schemas say."""

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from journal_postfix.schema_page import PAGE, page
from schemas.json_schemas import RECORDS
from schemas.settings import DatabaseSettings, KafkaSettings, StreamSettings
from schemas.topics import topics_of
from sinks.catalog import Relation, relations
from sinks.connecting import connect
from sinks.roles import KEPT, READER_RIGHTS, SINK_RIGHTS

pytestmark = pytest.mark.postgres


@pytest.fixture
def found(migrated: DatabaseSettings) -> Iterator[list[Relation]]:
    with closing(connect(migrated)) as connection:
        yield relations(connection)


def test_the_page_is_up_to_date(found: list[Relation]) -> None:
    assert PAGE.read_text(encoding="utf-8") == page(found), "make schemas"


def test_every_table_view_and_column_is_described_by_a_migration(found: list[Relation]) -> None:
    assert {relation.name for relation in found} == {*SINK_RIGHTS, *READER_RIGHTS, *KEPT}
    lacking = [relation.name for relation in found if not relation.description]
    lacking += [f"{each.name}.{column.name}" for each in found for column in each.columns if not column.description]
    assert not lacking, "COMMENT ON … in the migration that makes it, or makes it anew"


def test_keys_partitions_and_columns_are_those_of_the_database(found: list[Relation]) -> None:
    [recipients] = [relation for relation in found if relation.name == "delivery_to"]
    assert recipients.primary_key == ("arrived_at", "queue_id", "host", "recipient", "orig_recipient")
    assert recipients.partitioned_by == "RANGE (arrived_at)"
    assert not recipients.is_view
    said = {column.name: (column.kind, column.required) for column in recipients.columns}
    assert (said["history"], said["reason"]) == (("text[]", True), ("text", False))


def test_the_query_of_the_page_runs(migrated: DatabaseSettings) -> None:
    [query] = re.findall(r"```sql\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    with closing(connect(migrated)) as connection, connection.cursor() as cursor:
        cursor.execute(query)
        assert cursor.fetchall() == []


def test_every_topic_is_there_with_a_schema_that_exists() -> None:
    text = PAGE.read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z.-]+)` \|(.*)$", text.partition("## Topics")[2], re.MULTILINE)
    assert [name for name, _ in rows] == [topic.name for topic in topics_of(KafkaSettings(), StreamSettings()).all()]
    links = re.findall(r"\(([^)]*schema\.json)\)", text)
    assert len(links) == len(RECORDS)
    assert all((Path(PAGE).parent / link).is_file() for link in links)
