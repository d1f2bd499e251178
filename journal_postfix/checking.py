"""``check``: are the settings right against the real broker and database, and what to do where they are not."""

from collections.abc import Callable, Iterator

import msgspec

from journal_postfix import topics
from journal_postfix.broker import brokers_named, reach
from schemas.errors import JournalPostfixError
from schemas.settings import Settings
from sinks import migrating
from web.searches.database import connect


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at."""

    good: bool
    text: str
    advice: str = ""
    """What to do about it."""


def findings(settings: Settings) -> Iterator[Finding]:
    """Yield what there is to say, as it is found; never raises for what it is looking for."""
    yield Finding(good=True, text="the settings can be read and hold together")
    yield from _guarded("Kafka", lambda: _broker(settings))
    yield from _guarded("PostgreSQL", lambda: _database(settings))


def _guarded(part: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from look()
    except JournalPostfixError as error:
        yield Finding(good=False, text=f"{part}: {error}")


def _broker(settings: Settings) -> Iterator[Finding]:
    _, metadata = reach(settings)
    brokers = len(metadata.brokers)
    yield Finding(good=True, text=f"{brokers_named(settings)} answers: {brokers} broker{'s' if brokers != 1 else ''}")
    if brokers < settings.kafka.replication_factor:
        yield Finding(
            good=False,
            text=f"kafka.replication_factor is {settings.kafka.replication_factor}, more than there are brokers",
            advice=f"set it to {brokers}, or start more brokers",
        )
    yield from map(topic_finding, topics.look(settings))


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
