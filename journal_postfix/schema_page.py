"""Writes ``docs/schema.md``: tables and views as a migrated database describes them, and the topics."""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from journal_postfix.local import EmbeddedDatabase
from schemas.flow import FLOWS
from schemas.settings import KafkaSettings, Settings, StreamSettings
from schemas.topics import Topic, topics_of
from sinks.catalog import Relation, relations
from sinks.connecting import connect
from sinks.migrating import migrate

PAGE: Final = Path(__file__).parents[1] / "docs" / "schema.md"

_INTRODUCTION: Final = """\
# Tables, views, topics

<!-- Written by `make schemas` from the migrations' comments and from schemas/; do not edit. -->

For your own queries and your own consumers. To look at mail, ask the view `deliveries` and the table `noqueue`;
`journal-postfix migrate --grant-to-reader ROLE` lets a role read them.

Times are `timestamptz`. Text is compared in byte order (`COLLATE "C"`). Partitioned tables have a partition for each
day (UTC); ask for a span of `arrived_at` or `at`, so that only those days are looked at:

```sql
SELECT recipient, status, reason, reply
FROM deliveries
WHERE arrived_at >= now() - interval '1 day' AND status IN ('bounced', 'expired');
```

The columns of `deliveries` that `journal-postfix deliveries --format jsonl` prints stay what they are; columns may be
added, here and in the tables. Do not write to the tables: a row is what its log lines say."""

_TOPICS: Final = """\
## Topics

Names begin with `kafka.topic_prefix` (`postfix.`). Values are JSON, in `raw` MessagePack of the same shape; their JSON
Schemas are linked. [asyncapi.yaml](asyncapi.yaml) has the same as an AsyncAPI document. Read with
`isolation.level=read_committed`: records of transactions that were given up are there as well.

A record is a version of its row, and not always the whole of it: absent fields are not known *yet*. The rules by which
versions merge are in `schemas/merging.py`. A record without a value takes a row of `delivery-from` or `delivery-to`
back that was written under an earlier guess of its time of arrival; it says that a letter of `dead-letter` was
retried."""


def page(found: list[Relation]) -> str:
    """Return the page of these tables and views, in Markdown."""
    return "\n".join(_lines(found)) + "\n"


def _lines(found: list[Relation]) -> Iterator[str]:
    yield _INTRODUCTION
    for relation in found:
        yield from _relation(relation)
    yield from ("", _TOPICS, "", "| topic | holds | key | partition | kept | written by | read by |")
    yield "|---|---|---|---|---|---|---|"
    kafka = KafkaSettings()
    for topic in topics_of(kafka, StreamSettings()).all():
        yield _topic(topic, topic.name.removeprefix(kafka.topic_prefix))


def _relation(relation: Relation) -> Iterator[str]:
    kind = "View" if relation.is_view else "Table"
    yield from ("", f"## {kind} `{relation.name}`", "", _escaped(relation.description), "")
    if relation.primary_key:
        key = ", ".join(f"`{name}`" for name in relation.primary_key)
        by = f" Partitions: `{relation.partitioned_by}`." if relation.partitioned_by else ""
        yield from (f"Key: {key}.{by}", "")
    yield from ("| column | type | what |", "|---|---|---|")
    for column in relation.columns:
        required = ", never null" if column.required else ""
        yield f"| `{column.name}` | {column.kind}{required} | {_escaped(column.description)} |"


def _topic(topic: Topic, name: str) -> str:
    flow = FLOWS.get(name)
    if flow is None:  # the changelog: the stream stage's own
        cells = (f"`{topic.name}`", topic.what, "", "that of `raw`", _kept(topic), "stream", "stream")
    else:
        value = f"{topic.what}: [{name}.schema.json](../schemas/json/{name}.schema.json)"
        cells = (
            f"`{topic.name}`", value, flow.key or "none", flow.partition, _kept(topic), ", ".join(flow.written_by),
            ", ".join(flow.read_by) or "commands",
        )  # fmt: skip
    return "| " + " | ".join(cells) + " |"


def _kept(topic: Topic) -> str:
    """Return how long records stay, by the setting that says it."""
    policy = topic.config["cleanup.policy"]
    setting = "raw_retention_days" if topic.name.endswith("raw") else "output_retention_days"
    return {
        "delete": f"`kafka.{setting}`",
        "compact,delete": f"the latest of each key, `kafka.{setting}`",
        "compact": "the latest of each key",
    }[policy]


def _escaped(text: str) -> str:
    """Return *text* so that Markdown takes none of it for markup."""
    return text.replace("|", "\\|").replace("<", "\\<").replace("*", "\\*")


def main() -> None:
    """Migrate an embedded database of its own, and write the page of it."""
    with tempfile.TemporaryDirectory(prefix="journal-postfix-") as folder:
        Path(folder).chmod(0o711)  # PostgreSQL has a user of its own where we are root
        with EmbeddedDatabase(Path(folder) / "database", Settings()) as database:
            migrate(Settings(database=database.settings))
            with closing(connect(database.settings)) as connection:
                text = page(relations(connection))
    PAGE.write_text(text, encoding="utf-8")
    sys.stdout.write(f"{PAGE}\n")


if __name__ == "__main__":
    main()
