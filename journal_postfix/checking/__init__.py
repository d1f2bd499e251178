"""``check``: are the settings right for the real broker, database and log, and what to do where they are not."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from journal_postfix.checking.database import database_findings
from journal_postfix.checking.finding import Finding, Stage
from journal_postfix.checking.input_logs import log_findings
from journal_postfix.checking.kafka import kafka_findings
from schemas.errors import JournalPostfixError
from schemas.settings import Settings

__all__ = ["Finding", "Stage", "findings", "needs_database", "needs_kafka"]


def needs_kafka(stage: Stage | None) -> bool:
    """Tell whether *stage* (None: all of them) has to do with Kafka."""
    return stage != "read"


def needs_database(stage: Stage | None) -> bool:
    """Tell whether *stage* (None: all of them) has to do with PostgreSQL."""
    return stage in {None, "sink", "read"}


def findings(
    settings: Settings, stage: Stage | None = None, *, logfiles: Sequence[Path] = (), journal: bool = False
) -> Iterator[Finding]:
    """Yield what there is to say, of what *stage* needs, as it is found; never raises for what it is looking for.

    *logfiles* and *journal* are what a producer is to read; where neither is given, `produce` looks for what there is.
    """
    yield Finding("settings", good=True, text="the settings can be read and hold together")
    if logfiles or journal or stage == "produce":
        yield from log_findings(logfiles, journal=journal)
    if needs_kafka(stage):
        yield from _guarded("Kafka", lambda: kafka_findings(settings, stage))
    if needs_database(stage):
        yield from _guarded("PostgreSQL", lambda: database_findings(settings, stage))


def _guarded(part: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from look()
    except JournalPostfixError as error:
        yield Finding(part, good=False, text=f"{part}: {error}")
