"""``check``: are the settings right against the real broker and database, and what to do where they are not."""

from collections.abc import Callable, Iterator
from typing import Literal

import msgspec

from journal_postfix import topics
from journal_postfix.broker import brokers_named, reach
from schemas.errors import JournalPostfixError
from schemas.settings import Settings
from schemas.topics import Topic, topics_of
from sinks import migrating
from web.searches.database import connect


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at."""

    good: bool
    text: str
    advice: str = ""
    """What to do about it."""


Stage = Literal["produce", "stream", "sink"]


def topics_for(settings: Settings, stage: Stage | None) -> tuple[Topic, ...]:
    """Return the topics that *stage* uses, and so those that its Kafka user must see; None: all."""
    topics = topics_of(settings.kafka, settings.stream)
    if stage == "produce":
        return (topics.raw, topics.positions, topics.dead_letter)
    if stage == "sink":
        return (topics.delivery_from, topics.delivery_to, topics.noqueue, topics.tls_session, topics.dead_letter)
    return topics.all()


def findings(settings: Settings, stage: Stage | None = None) -> Iterator[Finding]:
    """Yield what there is to say, of what *stage* needs, as it is found; never raises for what it is looking for."""
    yield Finding(good=True, text="the settings can be read and hold together")
    yield from _guarded("Kafka", lambda: _broker(settings, topics_for(settings, stage)))
    if stage in {None, "sink"}:
        yield from _guarded("PostgreSQL", lambda: _database(settings))


def _guarded(part: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from look()
    except JournalPostfixError as error:
        yield Finding(good=False, text=f"{part}: {error}")


def _broker(settings: Settings, needed: tuple[Topic, ...]) -> Iterator[Finding]:
    _, metadata = reach(settings)
    brokers = len(metadata.brokers)
    yield Finding(good=True, text=f"{brokers_named(settings)} answers: {brokers} broker{'s' if brokers != 1 else ''}")
    if brokers < settings.kafka.replication_factor:
        yield Finding(
            good=False,
            text=f"kafka.replication_factor is {settings.kafka.replication_factor}, more than there are brokers",
            advice=f"set it to {brokers}, or start more brokers",
        )
    yield from map(topic_finding, topics.look(settings, needed))


def topic_finding(change: topics.Change) -> Finding:
    """Return what to say of a topic."""
    name, wanted = change.topic.name, change.topic.partitions
    if change.action == "create":
        return Finding(good=False, text=f"topic {name} is missing", advice="journal-postfix topics")
    if change.action == "too few":
        return Finding(
            good=False,
            text=f"topic {name} has {change.partitions} partitions, the settings say {wanted}",
            advice=f"set kafka.partitions to {change.partitions}, or journal-postfix topics --more-partitions",
        )
    if change.action == "more":
        return Finding(
            good=False,
            text=f"topic {name} has {change.partitions} partitions, the settings say {wanted}",
            advice=f"set kafka.partitions to {change.partitions}",
        )
    if change.config:
        differs = ", ".join(f"{key} should be {value}" for key, value in change.config.items())
        return Finding(good=False, text=f"topic {name}: {differs}", advice="journal-postfix topics")
    return Finding(
        good=True, text=f"topic {name}: {change.partitions} partition{'s' if change.partitions != 1 else ''}"
    )


def _database(settings: Settings) -> Iterator[Finding]:
    connection = connect(settings.database)
    try:
        version = connection.info.parameter_status("server_version")
    finally:
        connection.close()
    yield Finding(good=True, text=f"PostgreSQL {version} at {settings.database.host} answers")
    missing = migrating.pending(settings)
    if missing:
        yield Finding(good=False, text=f"the tables lack {', '.join(missing)}", advice="journal-postfix migrate")
    else:
        yield Finding(good=True, text="the tables are up to date")
