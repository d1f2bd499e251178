"""What a sink tells of itself."""

import time
from collections import Counter
from collections.abc import Iterator

from schemas.figures import Figure
from sinks.batches import Batch


class Counts:
    """What this process has stored. One thread counts, others may read."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.retries = 0
        self._rows: Counter[str] = Counter()
        self._statuses: Counter[str] = Counter()
        self._batches = 0
        self._seconds = 0.0
        self._dead_letters = 0
        self._stored_at = 0.0

    def stored(self, batch: Batch, dead_letters: int, seconds: float) -> None:
        """Count a batch that was committed, *seconds* after it was handed over."""
        for table, rows in (
            ("delivery_from", batch.messages), ("delivery_to", batch.deliveries), ("noqueue", batch.rejections),
            ("tls_sessions", batch.sessions),
        ):  # fmt: skip
            self._rows[table] += len(rows)
        self._statuses.update([delivery.status for delivery in batch.deliveries.values()])
        self._batches += 1
        self._seconds += seconds
        self._dead_letters += dead_letters
        self._stored_at = time.time()

    def figures(self) -> Iterator[Figure]:
        """Yield what there is to tell."""
        for table, count in dict(self._rows).items():
            yield Figure("sink_rows_total", count, {"table": table})
        for status, count in _few(dict(self._statuses)):
            yield Figure("sink_attempts_total", count, {"status": status})
        yield Figure("sink_batches_total", self._batches)
        yield Figure("sink_batch_seconds_total", self._seconds)
        yield Figure("sink_dead_letters_total", self._dead_letters)
        yield Figure("sink_retries_total", self.retries)
        if self._stored_at:
            yield Figure("sink_stored_timestamp_seconds", self._stored_at)


_KNOWN = ("sent", "deferred", "bounced", "rejected", "expired", "deliverable", "undeliverable", "SOFTBOUNCE")


def _few(statuses: dict[str, int]) -> Iterator[tuple[str, int]]:
    """Yield Postfix's statuses, and the sum of others: a log may be made up."""
    for status in _KNOWN:
        yield status, statuses.pop(status, 0)
    yield "other", sum(statuses.values())
