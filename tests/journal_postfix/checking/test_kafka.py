"""What `check` says of a real broker, and of one that lets a user do only so much."""

import json
import time
from collections.abc import Callable

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from secured_broker import Secured
from typer.testing import CliRunner

from journal_postfix.access import Rule, Work, rules
from journal_postfix.application import application
from journal_postfix.checking import Finding
from journal_postfix.checking.clocks import compared, newest_record
from journal_postfix.checking.kafka import kafka_findings
from journal_postfix.checking.protocol import Spoken, requests_known, version
from journal_postfix.topics import make
from schemas.settings import KafkaSettings, Settings, StreamSettings

STAGES: tuple[Work, ...] = ("produce", "stream", "sink")
NAMED = Settings(
    kafka=KafkaSettings(topic_prefix="acl.", partitions=2), stream=StreamSettings(application="acl-app"),
).model_copy(update={"sink": Settings().sink.model_copy(update={"group": "acl-sink"})})  # fmt: skip


def bad(found: list[Finding]) -> list[str]:
    return [finding.text for finding in found if not finding.good]


def eventually(look: Callable[[], list[Finding]], wanted: Callable[[list[Finding]], bool]) -> list[Finding]:
    """Return what is found as soon as it is as wanted: a broker hears of changed rights a moment later."""
    deadline = time.monotonic() + 10
    while not wanted(found := look()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


@pytest.mark.kafka
class TestABrokerThatAllowsEverything:
    @pytest.fixture
    def settings(self, kafka_settings: KafkaSettings) -> Settings:
        application = f"check-{kafka_settings.topic_prefix.rstrip('.')}"
        return Settings(kafka=kafka_settings, stream=StreamSettings(application=application))

    def test_all_is_well_with_its_version_its_partitions_and_its_rights(self, settings: Settings) -> None:
        make(settings)
        for stage in (None, *STAGES):
            found = list(kafka_findings(settings, stage))
            assert bad(found) == []
            said = " ".join(finding.text for finding in found)
            assert "1 broker, Kafka 4.1 or later" in said
            if stage != "sink":
                assert f"topic {settings.kafka.topic_prefix}raw: 4 partitions" in said
            assert ("has the rights to topics and groups" in said) == (stage is not None)

    def test_each_topic_that_is_missing_is_named_with_the_way_out(self, settings: Settings) -> None:
        found = [finding for finding in kafka_findings(settings, "produce") if not finding.good]
        prefix = settings.kafka.topic_prefix
        assert bad(found) == [f"topic {prefix}{name} is missing" for name in ("raw", "positions", "dead-letter")]
        assert {finding.advice for finding in found} == {"journal-postfix topics"}

    def test_other_partition_counts_and_too_few_brokers_are_told(self, settings: Settings) -> None:
        make(settings)
        more = settings.kafka.model_copy(update={"partitions": 6, "replication_factor": 3})
        found = bad(list(kafka_findings(settings.model_copy(update={"kafka": more}), "produce")))
        assert "kafka.replication_factor is 3, more than there are brokers" in found
        assert f"topic {more.topic_prefix}raw has 4 partitions, the settings say 6" in found

    def test_a_record_of_the_future_tells_that_clocks_disagree(self, settings: Settings) -> None:
        make(settings)
        raw = f"{settings.kafka.topic_prefix}raw"
        producer = Producer({"bootstrap.servers": settings.kafka.bootstrap_servers})
        for ahead in (0, 40):
            producer.produce(raw, b"", partition=ahead % 3, timestamp=int((time.time() + ahead) * 1000))
            producer.flush()
            clocks = [finding for finding in kafka_findings(settings, None) if finding.part == "clock"]
            assert [clock.good for clock in clocks] == [ahead == 0]
        assert raw in clocks[0].text

    def test_json_is_one_document_with_the_same_exit_code(self, settings: Settings) -> None:
        def check() -> tuple[int, dict[str, object]]:
            result = CliRunner().invoke(
                application,
                ["check", "--stage=stream", "--json"],
                env={
                    "JOURNAL_POSTFIX_KAFKA__BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
                    "JOURNAL_POSTFIX_KAFKA__TOPIC_PREFIX": settings.kafka.topic_prefix,
                    "JOURNAL_POSTFIX_KAFKA__PARTITIONS": "4",
                    "JOURNAL_POSTFIX_STREAM__APPLICATION": settings.stream.application,
                },
            )
            return result.exit_code, json.loads(result.stdout)

        code, document = check()
        assert (code, document["ok"]) == (1, False)
        make(settings)
        code, document = check()
        assert (code, document["ok"]) == (0, True)
        assert set(document) == {"ok", "findings"}
        assert isinstance(document["findings"], list)
        assert all(set(finding) == {"part", "good", "text", "advice"} for finding in document["findings"])
        assert {finding["part"] for finding in document["findings"]} == {"settings", "Kafka"}


@pytest.mark.kafka
class TestABrokerThatAsksWhoIsThere:
    @pytest.mark.parametrize("work", STAGES)
    def test_the_rights_of_a_stage_are_enough_for_its_check(self, secured: Secured, work: Work) -> None:
        settings = secured.settings(work)
        secured.allow(work, rules(settings, work))
        found = eventually(lambda: list(kafka_findings(settings, work)), lambda found: not bad(found))
        assert bad(found) == []

    @pytest.mark.parametrize(
        ("work", "lacking", "operation"),
        [
            pytest.param(work, rule, operation, id=f"{work}-{operation}-{rule.name}")
            for work in STAGES
            for rule in rules(NAMED, work)
            for operation in rule.operations
            if rule.resource != "transactional-id"
        ],
    )
    def test_each_right_that_is_missing_is_named(
        self, secured: Secured, work: Work, lacking: Rule, operation: str
    ) -> None:
        settings = secured.settings(work)
        left = tuple(o for o in lacking.operations if o != operation)
        given = [rule for rule in rules(settings, work) if rule != lacking]
        secured.allow(work, (*given, Rule(lacking.resource, lacking.name, left)))

        def named(found: list[Finding]) -> bool:
            return any(text.startswith(f"{lacking.resource} {lacking.name}: this user lacks") for text in bad(found))

        found = eventually(lambda: list(kafka_findings(settings, work)), named)
        [said] = [finding for finding in found if not finding.good]
        assert named(found)
        assert operation in said.text
        assert f"journal-postfix acls {work} --principal User:{work}" in said.advice

    def test_a_user_without_any_right_is_told_that_and_not_that_topics_are_missing(self, secured: Secured) -> None:
        secured.allow("sink", ())
        settings = secured.settings("sink")
        count = len(rules(settings, "sink"))
        found = eventually(lambda: list(kafka_findings(settings, "sink")), lambda found: len(bad(found)) == count)
        assert all("lacks the right to" in text for text in bad(found))


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ({0: 13, 1: 18, 44: 1}, Spoken("4.1")),
        ({0: 12, 1: 17, 44: 1}, Spoken("4.0")),
        ({0: 9, 1: 13, 44: 1}, Spoken("3.1")),
        ({0: 8, 1: 11, 2: 5, 44: 1}, Spoken("2.3")),
        ({0: 7, 1: 10, 2: 5}, Spoken(None, too_old=True)),
        ({}, Spoken(None)),
    ],
)
def test_a_broker_s_version_is_told_by_the_requests_that_it_knows(known: dict[int, int], expected: Spoken) -> None:
    assert version(known) == expected


def test_a_broker_that_is_away_has_no_version(free_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("journal_postfix.checking.protocol.TIMEOUT", 0.2)
    assert requests_known(Settings(kafka=KafkaSettings(bootstrap_servers=f"127.0.0.1:{free_port}"))) == {}


@pytest.mark.kafka
def test_a_broker_that_is_too_old_is_told(kafka_settings: KafkaSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("journal_postfix.checking.kafka.requests_known", lambda _: {0: 7, 1: 10})
    admin = AdminClient({"bootstrap.servers": kafka_settings.bootstrap_servers})
    for future in admin.create_topics([NewTopic(f"{kafka_settings.topic_prefix}raw", 4, 1)]).values():
        future.result()
    first = bad(list(kafka_findings(Settings(kafka=kafka_settings), "produce")))[0]
    assert first.endswith("1 broker, older than Kafka 2.3")


@pytest.mark.parametrize(
    ("theirs", "said"),
    [
        (100.0, "✓ agrees with"),
        (105.9, "✓ agrees with"),  # it may have been asked at the end of a slow answer
        (94.9, "✗ is 5 s behind"),
        (106.1, "✗ is 5 s ahead of"),
        (4000.0, "✗ is 3899 s ahead of"),
    ],
)
def test_clocks_are_apart_by_what_the_way_between_them_does_not_explain(theirs: float, said: str) -> None:
    finding = compared("PostgreSQL's", theirs, before=100.0, after=101.0)
    mark, words = said.split(" ", 1)
    assert finding.text == f"PostgreSQL's clock {words} ours"
    assert (finding.good, bool(finding.advice)) == (mark == "✓", mark == "✗")


def test_nothing_is_written_in_the_future() -> None:
    assert [newest_record("postfix.raw", at, now=100.0).good for at in (90.0, 105.0, 105.1)] == [True, True, False]
