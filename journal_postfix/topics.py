"""Make the topics as the settings ask for: what is missing, what differs, and more partitions when told to."""

import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, Literal

import msgspec
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourceType,
)

from journal_postfix.broker import brokers_named, reach
from schemas.errors import ConfigurationError, JournalPostfixError, TryAgainLaterError
from schemas.settings import Settings
from schemas.topics import Topic, topics_of

_TIMEOUT: Final = 30.0
_LOOK_AGAIN: Final = 0.1
_UNCHANGED_BY_US: Final = frozenset({"compression.type"})
"""Set at creation; another value does no harm, and an administrator may want it."""

MORE_PARTITIONS: Final = (
    "More partitions: lines of a message whose log spans the change go to two partitions and are merged in the "
    "database instead; nothing is lost. Stop the stages, raise the partitions, start them again. Kafka can't go back."
)


class Existing(msgspec.Struct, frozen=True):
    """A topic as the broker has it."""

    partitions: int
    replication_factor: int
    config: Mapping[str, str]


Action = Literal["create", "configure", "grow", "too few", "more", "keep"]


class Change(msgspec.Struct, frozen=True):
    """What is to be done about one topic."""

    topic: Topic
    action: Action
    config: Mapping[str, str] = {}
    """The configuration entries that differ, as they should be."""
    partitions: int = 0
    """What the broker has; 0 where the topic is missing."""


def plan(topic: Topic, existing: Existing | None, *, grow: bool) -> Change:
    """Return what makes *existing* (None: missing) into *topic*. Partitions are raised only if *grow*."""
    if existing is None:
        return Change(topic, "create")
    differs = {
        name: value
        for name, value in topic.config.items()
        if name not in _UNCHANGED_BY_US and existing.config.get(name) != value
    }
    if existing.partitions < topic.partitions:
        return Change(topic, "grow" if grow else "too few", differs, existing.partitions)
    if existing.partitions > topic.partitions:
        return Change(topic, "more", differs, existing.partitions)
    return Change(topic, "configure" if differs else "keep", differs, existing.partitions)


def look(settings: Settings, only: Sequence[Topic] | None = None, *, grow: bool = False) -> list[Change]:
    """Return what would be done about every topic, or those of *only*.

    Raises TryAgainLaterError and ConfigurationError.
    """
    wanted = topics_of(settings.kafka, settings.stream).all() if only is None else only
    existing = _existing(settings, wanted)
    return [plan(topic, existing[topic.name], grow=grow) for topic in wanted]


def kept_for(settings: Settings) -> dict[str, timedelta | None]:
    """Return for how long each topic that holds mail keeps a record, as the broker has it; None: without end.

    Raises TryAgainLaterError and ConfigurationError.
    """
    topics = topics_of(settings.kafka, settings.stream)
    with_mail = (
        topics.raw, topics.delivery_from, topics.delivery_to, topics.noqueue, topics.dead_letter, topics.changelog,
        topics.progress,
    )  # fmt: skip
    return {
        name: _kept_for(topic.config) for name, topic in _existing(settings, with_mail).items() if topic is not None
    }


def _kept_for(config: Mapping[str, str]) -> timedelta | None:
    milliseconds = int(config.get("retention.ms", -1))
    ages = "delete" in config.get("cleanup.policy", "delete") and milliseconds >= 0
    return timedelta(milliseconds=milliseconds) if ages else None


def make(settings: Settings, *, grow: bool = False) -> list[Change]:
    """Create and alter the topics; return what was done. Raises TryAgainLaterError and ConfigurationError."""
    changes = look(settings, grow=grow)
    admin, _ = reach(settings)
    try:
        _create(admin, [change.topic for change in changes if change.action == "create"])
        _configure(admin, [change for change in changes if change.config])
        growing = [NewPartitions(c.topic.name, c.topic.partitions) for c in changes if c.action == "grow"]
        if growing:
            _await(admin.create_partitions(growing, request_timeout=_TIMEOUT))
        _settle(settings, changes, grow=grow)
    except KafkaException as error:
        raise _explained(error, "make the topics", settings) from None
    return changes


def _settle(settings: Settings, changes: list[Change], *, grow: bool) -> None:
    """Wait until the broker that we ask knows what its controller has done: who starts next must find it so."""
    if all(change.action in {"keep", "more"} for change in changes):
        return
    deadline = time.monotonic() + _TIMEOUT
    while (undone := [c for c in look(settings, grow=grow) if c.action in {"create", "grow"} or c.config]) and (
        time.monotonic() < deadline
    ):
        time.sleep(_LOOK_AGAIN)
    if undone:
        names = ", ".join(change.topic.name for change in undone)
        raise TryAgainLaterError(f"{brokers_named(settings)} took the change of {names}, but does not show it")


def _create(admin: AdminClient, topics: list[Topic]) -> None:
    if not topics:
        return
    new = [
        NewTopic(t.name, num_partitions=t.partitions, replication_factor=t.replication_factor, config=t.config)
        for t in topics
    ]
    for future in admin.create_topics(new, request_timeout=_TIMEOUT, operation_timeout=_TIMEOUT).values():
        try:
            future.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:  # made by another in the meantime
                raise


def _configure(admin: AdminClient, changes: list[Change]) -> None:
    resources = [
        ConfigResource(
            ResourceType.TOPIC,
            change.topic.name,
            incremental_configs=[
                ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
                for name, value in change.config.items()
            ],
        )
        for change in changes
    ]
    if resources:
        _await(admin.incremental_alter_configs(resources, request_timeout=_TIMEOUT))


def _await(futures: Mapping[Any, Any]) -> None:
    for future in futures.values():
        future.result()


def _existing(settings: Settings, topics: Sequence[Topic]) -> dict[str, Existing | None]:
    """Return *topics* as the broker has them, by name; None for one that is missing."""
    admin, metadata = reach(settings)
    present = [topic.name for topic in topics if topic.name in metadata.topics]
    try:
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in present]
        futures = admin.describe_configs(resources, request_timeout=_TIMEOUT) if resources else {}
        configs = {resource.name: future.result() for resource, future in futures.items()}
    except KafkaException as error:
        raise _explained(error, "read the topics' configuration", settings) from None
    found: dict[str, Existing | None] = dict.fromkeys(topic.name for topic in topics)
    for name in present:
        partitions = metadata.topics[name].partitions
        replicas = min((len(partition.replicas) for partition in partitions.values()), default=0)
        config = {entry.name: entry.value for entry in configs[name].values() if entry.value is not None}
        found[name] = Existing(len(partitions), replicas, config)
    return found


def _explained(error: KafkaException, what: str, settings: Settings) -> JournalPostfixError:
    reason = error.args[0]
    where = f"cannot {what} on {brokers_named(settings)}: {reason.str()}"
    if reason.code() in {KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED}:
        return ConfigurationError(f"{where}: give this user the rights to create and alter topics")
    if reason.code() == KafkaError.INVALID_REPLICATION_FACTOR:
        return ConfigurationError(f"{where}: kafka.replication_factor is larger than the number of brokers")
    return TryAgainLaterError(where)
