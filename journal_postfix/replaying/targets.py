"""Where a replay writes: in place, or into a second set of tables, which can be swapped in."""

from contextlib import closing
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Final

from journal_postfix.replaying.running import Outcome, Tell, replay
from journal_postfix.replaying.source import Source, Stretch
from schemas.errors import ConfigurationError, TryAgainLaterError
from schemas.settings import Settings
from sinks import second_sets, swapping
from sinks.migrating import pending
from sinks.second_sets import Replayed
from sinks.swapping import Swapped

MARGIN: Final = timedelta(days=1)
"""How much earlier a second set begins to read: for hosts whose clock is ahead, and messages under way then."""


def in_place(settings: Settings, since: datetime, until: datetime | None, stop: Event, tell: Tell) -> Outcome:
    """Merge what was produced between the moments into the live tables.

    Raises ConfigurationError and TryAgainLaterError.
    """
    if missing := pending(settings):
        raise ConfigurationError(f"the database lacks migrations ({', '.join(missing)}): run `journal-postfix migrate`")
    with closing(Source(settings)) as source:
        return replay(source, source.stretches(since, until), settings, stop, tell)


def into(  # noqa: PLR0917 - the two ends, and how to stop and tell
    settings: Settings, schema: str, since: datetime, until: datetime | None, stop: Event, tell: Tell
) -> Outcome:
    """Make a second set of tables in *schema* of what was produced between the moments; go on where one was broken off.

    Raises ConfigurationError and TryAgainLaterError.
    """
    second_sets.make(settings, schema)
    there = second_sets.replayed(settings, schema)
    if there is not None:
        _check_goes_on(schema, there, since)
    with closing(Source(settings)) as source:
        now = datetime.now(UTC)
        positions = second_sets.positions(settings, schema, source.topic)
        stretches = source.stretches(since - MARGIN, until, positions)
        if there is None:
            whole = _whole_since(settings, source, stretches, since, now)
            second_sets.note(settings, schema, whole, whole)
        outcome = replay(source, stretches, second_sets.in_schema(settings, schema), stop, tell, positions)
    if outcome.finished:
        second_sets.note(settings, schema, since, min(until or now, now))
    return outcome


def swap(settings: Settings, schema: str, stop: Event, tell: Tell) -> Swapped | None:
    """Bring the second set in *schema* up to now and swap its days in; None where it was told to *stop* before.

    Raises ConfigurationError and TryAgainLaterError.
    """
    second_sets.replayed(settings, schema)  # there is one
    second_sets.make(settings, schema)  # and it has the columns of the live one
    if not _go_on(settings, schema, stop, tell).finished:
        return None

    def catch_up() -> None:
        if not _go_on(settings, schema, Event(), tell).finished:  # little is left; sinks wait for it
            raise TryAgainLaterError("Kafka does not give the last records: swap again; nothing was changed")

    return swapping.swap(settings, schema, catch_up)


def _go_on(settings: Settings, schema: str, stop: Event, tell: Tell) -> Outcome:
    there = second_sets.replayed(settings, schema)
    if there is None:
        raise ConfigurationError(
            f"schema {schema} holds no rows yet: run `journal-postfix replay --into {schema}` first"
        )
    _check_goes_on(schema, there, there.since)
    with closing(Source(settings)) as source:
        now = datetime.now(UTC)
        positions = second_sets.positions(settings, schema, source.topic)
        stretches = source.stretches(there.since - MARGIN, None, positions)
        outcome = replay(source, stretches, second_sets.in_schema(settings, schema), stop, tell, positions)
    if outcome.finished:
        second_sets.note(settings, schema, there.since, now)
    return outcome


def _check_goes_on(schema: str, there: Replayed, since: datetime) -> None:
    if there.swapped_at is not None:
        raise ConfigurationError(
            f"schema {schema} was swapped in at {there.swapped_at:%Y-%m-%d %H:%M} (UTC) and holds the old days now: "
            "give another one, or drop it"
        )
    if since < there.since:
        raise ConfigurationError(
            f"schema {schema} holds a replay since {there.since:%Y-%m-%dT%H:%M:%SZ}: drop it to begin earlier, or give "
            "that time"
        )


def _whole_since(
    settings: Settings, source: Source, stretches: dict[int, Stretch], since: datetime, now: datetime
) -> datetime:
    """Return from when on all lines are there: *since*, or what the topic's retention has left."""
    left = now - timedelta(days=settings.kafka.raw_retention_days)
    cut = [source.first_moment(number, stretch) or left for number, stretch in stretches.items() if stretch.cut]
    return max([since, *cut])
