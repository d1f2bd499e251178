"""`erase` works with what the owner of the tables has, and says of every topic how long it still knows the person."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from journal_postfix import topics as broker_topics
from journal_postfix.application import application
from journal_postfix.commands import privacy
from schemas.settings import DatabaseSettings, KafkaSettings, Settings, StreamSettings
from schemas.topics import Topic, topics_of

ANNA = ("erase", "--address", "anna@example.org")


@pytest.mark.postgres
@pytest.mark.parametrize("how", ["--dry-run", "--yes"])
def test_the_owner_of_the_tables_needs_no_kafka(migrated: DatabaseSettings, tmp_path: Path, how: str) -> None:
    database = migrated.model_dump(mode="json", exclude_none=True)
    if migrated.password is not None:
        database["password"] = migrated.password.get_secret_value()
    config = tmp_path / "migrate.yaml"
    config.write_text(json.dumps({"database": database, "data_dir": str(tmp_path / "none")}))
    result = CliRunner().invoke(application, [*ANNA, how, "--config", str(config)])
    assert result.exit_code == 0, result.output
    assert "unknown: no Kafka is configured" in result.stdout


def test_each_topic_that_holds_mail_says_until_when(monkeypatch: pytest.MonkeyPatch) -> None:
    def as_made(_: Settings, topics: Sequence[Topic]) -> dict[str, broker_topics.Existing | None]:
        return {topic.name: broker_topics.Existing(topic.partitions, 1, dict(topic.config)) for topic in topics}

    monkeypatch.setattr(privacy.erasing, "erase", lambda *_, **__: [])
    monkeypatch.setattr(broker_topics, "_existing", as_made)
    where = ("--database-host=db.example.org", "--bootstrap-servers=kafka.example.org:9092")
    result = CliRunner().invoke(application, [*ANNA, "--yes", *where])
    said = dict(re.findall(r"^  (\S+) +(.+)$", result.stdout, re.MULTILINE))
    topics = topics_of(KafkaSettings(), StreamSettings())
    assert said.keys() == {topic.name for topic in topics.all()} - {topics.positions.name, topics.tls_session.name}
    assert said.pop(topics.changelog.name) == "as long as the mail is queued"
    assert said.pop(topics.progress.name) == "samples of lines that no parser knows: until it is made anew"
    assert all(re.fullmatch(r"until \d{4}-\d\d-\d\d", text) for text in said.values())
