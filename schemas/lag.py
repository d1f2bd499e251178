"""How far a reader is behind the end of a partition: in records, and in seconds."""

import time
from collections.abc import Callable


class Lag:
    """The lag of one partition. One thread measures, others may read."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        """Count the seconds of *clock*, which those of Kafka's records are, too; nothing is known yet."""
        self._clock = clock
        self._records = 0
        self._began_at = clock()
        self._empty_at = 0.0
        """When all was done last: whatever is not done came after it."""
        self._done_at = 0.0

    def measure(self, end: int, done: int, done_at: float = 0.0) -> None:
        """Take the *end* of the partition, the offset up to which its records are *done*, and the last one's time.

        That is when Kafka got it; 0 where it is not known.
        """
        self._records = max(0, end - done)
        self._done_at = done_at
        if not self._records:
            self._empty_at = self._clock()

    @property
    def records(self) -> int:
        """How many are not done."""
        return self._records

    @property
    def seconds(self) -> float:
        """How long the oldest of them has waited, at most; 0 where all are done.

        Until a record is done, of which the time is known: since this lag was measured first.
        """
        if not self._records:
            return 0.0
        return max(0.0, self._clock() - (max(self._empty_at, self._done_at) or self._began_at))
