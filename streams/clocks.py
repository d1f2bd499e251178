"""The clock of each host of a partition, bounded whatever names come, and who has fallen silent.

`Progress.hosts` holds them in the order in which they were last heard of, and goes through the changelog in that order:
a worker that takes over forgets the same hosts, and lets go of the same messages.
"""

from collections.abc import Callable
from heapq import nlargest
from itertools import islice
from typing import Final

import msgspec

from schemas.progress import Progress

MOST_BYTES: Final = 256 * 1024
"""Of all names and times in the record of progress, which has other things to tell within what a topic takes."""
_KEPT_BYTES: Final = MOST_BYTES * 3 // 4
"""What stays where that was too much: so it is too much again only after very many new names."""
_TIME_BYTES: Final = 24
"""Of a time and the signs around it, at most."""
_LOOKED_EVERY: Final = 1_000
"""Records after which silent hosts are looked for."""


class Clocks:
    """The latest time in the log of each host."""

    def __init__(self, progress: Progress) -> None:
        """Go on from what *progress* says of its hosts; it is kept up to date."""
        self._progress = progress
        self._times = progress.hosts
        self._size = sum(map(_size, self._times))
        self._unheard = set(islice(self._times, progress.unheard))

    def note(self, name: str, time: int) -> None:
        """Note that a host was heard of, and the latest *time* of its log, microseconds since 1970."""
        if self._times.pop(name, None) is None:
            self._size += _size(name)
        else:
            self._unheard.discard(name)
        self._times[name] = time
        self._progress.unheard = len(self._unheard)

    def crowded_out(self, busy: Callable[[str], bool]) -> list[str]:
        """Forget hosts where the names are too many, and return who they are: made-up ones must not grow the state.

        Those that are not *busy* go first, and of each kind those that were silent for longest.
        """
        if self._size <= MOST_BYTES:
            return []
        gone = []
        for name in sorted(list(self._times)[:-1], key=busy):  # never the one that was just heard of
            if self._size <= _KEPT_BYTES:
                break
            del self._times[name]
            self._size -= _size(name)
            self._unheard.discard(name)
            gone.append(name)
        self._progress.unheard = len(self._unheard)
        return gone

    def fell_silent(self, lifetime: int) -> list[str]:
        """Return the hosts whose messages no queue can hold any more, now and then: call it after each record.

        They were not heard of since silent ones were last looked for, and are *lifetime* (microseconds) or more behind
        the second newest clock. Not the newest: that may be wrong, by one line from the future, and must not end the
        messages of others. So of two hosts one may stay for good; it is one. And a host is not silent whose old log is
        being read, however far behind it is.
        """
        if self._progress.batches % _LOOKED_EVERY:
            return []
        oldest = nlargest(2, self._times.values())[-1] - lifetime
        silent = [name for name, time in self._times.items() if name in self._unheard and time <= oldest]
        self._unheard = set(self._times)
        self._progress.unheard = len(self._unheard)
        return silent


def _size(name: str) -> int:
    """Return how many bytes a host takes in the record, at most."""
    return len(msgspec.json.encode(name)) + _TIME_BYTES
