"""What ``check`` says of Kafka: is it there, which one, are its topics as they should be, may this user use them."""

import time
from collections.abc import Iterator
from typing import Any

from confluent_kafka import IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, ClusterMetadata, OffsetSpec

from journal_postfix import access, topics
from journal_postfix.broker import TIMEOUT, brokers_named, reach
from journal_postfix.checking.clocks import newest_record
from journal_postfix.checking.finding import Finding, Stage
from journal_postfix.checking.kafka_rights import lacking_rights, rights_findings
from journal_postfix.checking.protocol import OLDEST, requests_known, version
from journal_postfix.checking.tls import certificate_findings
from schemas.settings import Settings
from schemas.topics import Topic, topics_of


def topics_for(settings: Settings, stage: Stage | None) -> tuple[Topic, ...]:
    """Return the topics that *stage* uses, and so those that its Kafka user must see; None: all."""
    topics = topics_of(settings.kafka, settings.stream)
    if stage == "produce":
        return (topics.raw, topics.positions, topics.dead_letter)
    if stage == "sink":
        return (*topics.outputs(), topics.dead_letter)
    return topics.all()


def kafka_findings(settings: Settings, stage: Stage | None) -> Iterator[Finding]:
    """Yield what there is to say of Kafka for *stage*. Raises JournalPostfixError where it can't be reached."""
    yield from certificate_findings(settings.kafka)
    admin, metadata = reach(settings)
    yield from _brokers(settings, metadata)
    needed = topics_for(settings, stage)
    if stage is not None and stage != "read":
        lacking = lacking_rights(admin, access.rules(settings, stage))
        yield from rights_findings(settings, stage, lacking)
        # Whether a topic is there, and as it should be, is not told to who may not ask.
        needed = tuple(topic for topic in needed if "DescribeConfigs" not in lacking.get(("topic", topic.name), ()))
    yield from map(topic_finding, topics.look(settings, needed))
    present = [topic.name for topic in needed if topic.name in metadata.topics]
    if present:
        yield from _clock(admin, metadata, present[0])


def _brokers(settings: Settings, metadata: ClusterMetadata) -> Iterator[Finding]:
    brokers = len(metadata.brokers)
    there = f"{brokers_named(settings)} answers: {brokers} broker{'s' if brokers != 1 else ''}"
    spoken = version(requests_known(settings))
    if spoken.too_old:
        yield Finding(
            "Kafka", good=False, text=f"{there}, older than Kafka {OLDEST}", advice=f"Kafka {OLDEST} or later is needed"
        )
    else:
        which = f", Kafka {spoken.at_least} or later" if spoken.at_least else ""
        yield Finding("Kafka", good=True, text=there + which)
    if brokers < settings.kafka.replication_factor:
        yield Finding(
            "Kafka",
            good=False,
            text=f"kafka.replication_factor is {settings.kafka.replication_factor}, more than there are brokers",
            advice=f"set it to {brokers}, or start more brokers",
        )


def topic_finding(change: topics.Change) -> Finding:
    """Return what to say of a topic."""
    name, wanted = change.topic.name, change.topic.partitions
    counts = f"topic {name} has {change.partitions} partitions, the settings say {wanted}"
    if change.action == "create":
        return Finding("Kafka", good=False, text=f"topic {name} is missing", advice="journal-postfix topics")
    if change.action == "too few":
        return Finding(
            "Kafka",
            good=False,
            text=counts,
            advice=f"set kafka.partitions to {change.partitions}, or journal-postfix topics --more-partitions",
        )
    if change.action == "more":
        return Finding("Kafka", good=False, text=counts, advice=f"set kafka.partitions to {change.partitions}")
    if change.config:
        differs = ", ".join(f"{key} should be {value}" for key, value in change.config.items())
        return Finding("Kafka", good=False, text=f"topic {name}: {differs}", advice="journal-postfix topics")
    many = "s" if change.partitions != 1 else ""
    return Finding("Kafka", good=True, text=f"topic {name}: {change.partitions} partition{many}")


def _clock(admin: AdminClient, metadata: ClusterMetadata, topic: str) -> Iterator[Finding]:
    """Say whether a record is dated ahead of our clock; nothing where there is none, or the broker can't tell."""
    specs: Any = OffsetSpec
    asked = {TopicPartition(topic, number): specs.max_timestamp() for number in metadata.topics[topic].partitions}
    newest = []
    level = IsolationLevel.READ_UNCOMMITTED
    for future in admin.list_offsets(asked, isolation_level=level, request_timeout=TIMEOUT).values():
        try:
            newest.append(future.result().timestamp)
        except KafkaException:  # Kafka before 3.0, or a partition without a leader
            continue
    if newest and max(newest) > 0:
        yield newest_record(topic, max(newest) / 1000, time.time())
