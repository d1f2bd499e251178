"""What ``up`` does once a day for its own database: it drops, or pseudonymises, what is older than the settings say."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from schemas.errors import JournalPostfixError
from schemas.settings import Settings
from sinks import pseudonymising, purging

_DAY_SECONDS: Final = 86_400.0
_FIRST_AFTER_SECONDS: Final = 600.0
"""What was just read in may be looked at for a moment; and a start has enough to do."""

Tell = Callable[[str], None]


class DailyPurge:
    """Purges in a thread of its own. What goes wrong is told, and tried again the next day."""

    def __init__(self, settings: Settings, tell: Tell, first_after: float = _FIRST_AFTER_SECONDS) -> None:
        """Say what will be forgotten, through *tell*. Nothing is dropped before *first_after* seconds."""
        self._settings = settings
        self._tell = tell
        self._due = time.monotonic() + first_after
        self._running: threading.Thread | None = None
        if settings.retention.deliveries_days:
            tell(f"Mail is forgotten after {settings.retention.deliveries_days} days (retention.deliveries_days).")
        if settings.retention.pseudonymise_days:
            tell(f"Names become pseudonyms after {settings.retention.pseudonymise_days} days.")

    def step(self) -> None:
        """Begin a purge if one is due."""
        if time.monotonic() < self._due or (self._running is not None and self._running.is_alive()):
            return
        self._due = time.monotonic() + _DAY_SECONDS
        self._running = threading.Thread(target=self._purge, name="purge", daemon=True)
        self._running.start()

    def wait(self) -> None:
        """Return when the purge that runs, if one does, has ended."""
        if self._running is not None:
            self._running.join()

    def _purge(self) -> None:
        retention, now = self._settings.retention, datetime.now(UTC)
        try:
            found = purging.purge(self._settings, purging.cutoffs(retention, None, now), _silent)
            renamed = pseudonymising.pseudonymise(self._settings, pseudonymising.border(retention, now), _silent)
        except JournalPostfixError as error:
            self._tell(f"purge: {error}")
            return
        days = sum(len(gone.days) for gone in found)
        if days:
            self._tell(f"purge: {days} day partitions dropped")
        if rows := sum(table.rows for table in renamed):
            self._tell(f"purge: {rows:,} rows pseudonymised")


def _silent(_: str) -> None:
    """Take a line of progress: the sums are enough."""
