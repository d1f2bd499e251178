"""What a sink tells of itself."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from schemas.deliveries import DeliveryTo, Rejection
from schemas.figures import Figure
from schemas.timestamps import MICROSECONDS, to_text
from sinks.domains import FailingDomains
from sinks.storing import Prepared

_RECENT_SECONDS: Final = 3600
_AHEAD_SECONDS: Final = 300
"""How far a mail host's clock may be ahead."""


class Counts:
    """What this process has stored. One thread counts, others may read."""

    def __init__(self, domains: int) -> None:
        """Tell of at most so many failing *domains*."""
        self.retries = 0
        self._rows: Counter[str] = Counter()
        self._statuses: Counter[str] = Counter()
        self._domains = FailingDomains(domains)
        self._batches = self._records = self._dead_letters = self._rejections = 0
        self._seconds = self._stored_at = 0.0

    def stored(self, prepared: Prepared, dead_letters: int, seconds: float) -> None:
        """Count a batch that was committed, *seconds* after it was handed over."""
        batch, now = prepared.batch, time.time()
        for table, rows in (
            ("delivery_from", batch.messages), ("delivery_to", batch.deliveries), ("noqueue", batch.rejections),
            ("tls_sessions", batch.sessions),
        ):  # fmt: skip
            self._rows[table] += len(rows)
        deliveries = recent_attempts(batch.deliveries.values(), now)
        self._statuses.update([delivery.status for delivery in deliveries])
        self._domains.count(deliveries)
        self._rejections += recent_rejections(batch.rejections.values(), now)
        self._batches += 1
        self._records += len(prepared.records)
        self._seconds += seconds
        self._dead_letters += dead_letters
        self._stored_at = now

    def figures(self) -> Iterator[Figure]:
        """Yield what there is to tell."""
        for table, count in dict(self._rows).items():
            yield Figure("sink_rows_total", count, {"table": table})
        for status, count in _few(dict(self._statuses)):
            yield Figure("sink_attempts_total", count, {"status": status})
        for domain, attempts, failed in self._domains.worst():
            yield Figure("sink_domain_attempts_total", attempts, {"domain": domain})
            yield Figure("sink_domain_failures_total", failed, {"domain": domain})
        yield Figure("sink_rejections_total", self._rejections)
        yield Figure("sink_batches_total", self._batches)
        yield Figure("sink_records_total", self._records)
        yield Figure("sink_batch_seconds_total", self._seconds)
        yield Figure("sink_dead_letters_total", self._dead_letters)
        yield Figure("sink_retries_total", self.retries)
        if self._stored_at:
            yield Figure("sink_stored_timestamp_seconds", self._stored_at)


def recent_attempts(deliveries: Iterable[DeliveryTo], now: float) -> list[DeliveryTo]:
    """Return those whose latest attempt is of the last hour: what is read late or again says nothing of today."""
    first, last = _recent(now)
    return [delivery for delivery in deliveries if first <= delivery.last_attempt_at <= last]


def recent_rejections(rejections: Iterable[Rejection], now: float) -> int:
    """Return how many are of the last hour."""
    first, last = _recent(now)
    return sum(first <= rejection.at <= last for rejection in rejections)


def _recent(now: float) -> tuple[str, str]:
    seconds = int(now)
    return to_text((seconds - _RECENT_SECONDS) * MICROSECONDS), to_text((seconds + _AHEAD_SECONDS) * MICROSECONDS)


_KNOWN = ("sent", "deferred", "bounced", "rejected", "expired", "deliverable", "undeliverable", "SOFTBOUNCE")


def _few(statuses: dict[str, int]) -> Iterator[tuple[str, int]]:
    """Yield Postfix's statuses, and the sum of others: a log may be made up."""
    for status in _KNOWN:
        yield status, statuses.pop(status, 0)
    yield "other", sum(statuses.values())
