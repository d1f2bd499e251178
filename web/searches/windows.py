"""Spans of time to search in, newest first: whoever wants the newest rows need not look at all of them."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Final

Window = tuple[datetime | None, datetime | None]
"""From when, until before when; None: open."""

_FIRST: Final = timedelta(hours=1)
_FACTOR: Final = 12
_MARGIN: Final = 1.5
_LONGEST_DAYS: Final = 100
_MOST: Final = 6
"""Windows with an end; what is left then is one. Each of them has to be planned."""


def windows(
    newest: datetime | None,
    since: datetime | None,
    until: datetime | None,
    days: float = 0,
    times: Callable[[], float | None] = lambda: None,
) -> Iterator[Window]:
    """Yield windows that together are the time from *since* to *until*, newest first.

    The first has *days*, but an hour at least: who knows how rare the rows are need not begin with little. Each is
    twelve times as long as the one before; or, where *times* says how many times the rows of that are still to find,
    not much longer than it takes to find those.

    *newest* is when the newest row arrived; what arrived after it, by a wrong clock, is in the first window.
    """
    edge = until if newest is None or (until is not None and until < newest) else newest
    longest = timedelta(days=_LONGEST_DAYS)
    upper, length = until, max(_FIRST, timedelta(days=min(days, _LONGEST_DAYS)))
    for _ in range(_MOST):
        if edge is None:
            break
        edge -= length
        if since is not None and edge <= since:
            break
        yield edge, upper
        more = times()
        length = min(longest, length * (_FACTOR if more is None else min(max(more * _MARGIN, 1), _FACTOR)))
        upper = edge
    yield since, upper
