"""What each stage's Kafka user has to be allowed, and nothing more: topics, groups, transactional ids."""

import shlex
from typing import Final, Literal

import msgspec

from schemas.settings import Settings
from schemas.topics import Topic, topics_of

Work = Literal["produce", "stream", "sink", "topics", "operate"]
WORK: Final[tuple[Work, ...]] = ("produce", "stream", "sink", "topics", "operate")
Resource = Literal["topic", "group", "transactional-id"]


class Rule(msgspec.Struct, frozen=True):
    """One resource and what may be done with it. To read, write or alter something includes to describe it."""

    resource: Resource
    name: str
    operations: tuple[str, ...]
    prefixed: bool = False
    """Whether *name* is what the names of the resources begin with."""


def rules(settings: Settings, work: Work) -> tuple[Rule, ...]:
    """Return what a user needs for *work*: a stage and its `check`, making the topics, `stats`, `top` and the like."""
    # Who reads without a group, as producers do their positions, has to name one that its client looks for.
    topics = topics_of(settings.kafka, settings.stream)

    def topic(which: Topic, *operations: str) -> Rule:
        return Rule("topic", which.name, (*operations, "DescribeConfigs"))

    outputs = topics.outputs()
    if work == "produce":
        return (
            topic(topics.raw, "Write"),
            topic(topics.positions, "Read", "Write"),
            topic(topics.dead_letter, "Write"),
            Rule("group", "journal-postfix-positions", ("Describe",)),
        )
    if work == "stream":
        return (
            topic(topics.raw, "Read"),
            *(topic(output, "Write") for output in (*outputs, topics.dead_letter, topics.progress)),
            topic(topics.changelog, "Read", "Write"),
            topic(topics.positions, "Describe"),
            Rule("group", settings.stream.application, ("Read",)),
            Rule("group", "unused", ("Describe",)),
            Rule("transactional-id", f"{settings.stream.application}-", ("Write",), prefixed=True),
        )
    if work == "sink":
        return (
            *(topic(output, "Read") for output in outputs),
            topic(topics.dead_letter, "Write"),
            Rule("group", settings.sink.group, ("Read",)),
        )
    if work == "operate":
        return (
            topic(topics.progress, "Read"),
            topic(topics.dead_letter, "Read", "Write"),
            topic(topics.raw, "Write"),
            topic(topics.delivery_from, "Read"),
            topic(topics.delivery_to, "Read"),
            # `top` asks where these end, as it does of the others.
            Rule("topic", topics.noqueue.name, ("Describe",)),
            Rule("topic", topics.tls_session.name, ("Describe",)),
            Rule("group", "journal-postfix-unused", ("Describe",)),
        )
    return tuple(topic(each, "Create", "Describe", "Alter", "AlterConfigs") for each in topics.all())


def commands(settings: Settings, work: Work, principal: str) -> list[str]:
    """Return the calls of Kafka's own tool that allow *principal* the *work*."""
    server = settings.kafka.bootstrap_servers or "HOST:PORT"
    found = []
    for rule in rules(settings, work):
        words = ["kafka-acls.sh", "--bootstrap-server", server, "--add", "--allow-principal", principal]
        for operation in rule.operations:
            words += ["--operation", operation]
        words += [f"--{rule.resource}", rule.name]
        if rule.prefixed:
            words += ["--resource-pattern-type", "prefixed"]
        found.append(shlex.join(words))
    return found
