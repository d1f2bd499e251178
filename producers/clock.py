"""Turn time stamps into microseconds since 1970, where the year and the zone may be left out.

A traditional stamp says neither. The year of the first one is given, or the latest that does not lie in the future;
from then on it follows the log: from December to January it goes up, and a line that comes a little late does not
move it. An hour that happens twice when summer time ends is told apart by the lines' order; one that never happened is
read as if the clock had not been put forward yet. All of that depends on nothing but the stamps before.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Final

_MONTHS: Final = {
    name: number
    for number, name in enumerate(
        (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"), 1
    )
}
_SECONDS: Final = {b"%02d" % second: second * 1_000_000 for second in range(61)}  # a leap second has 60
_FAST_CLOCK: Final = timedelta(days=1)
"""How far a log may run ahead of this machine's clock before its year is taken for the last one."""
_LATE: Final = timedelta(days=2)
"""How much later than its neighbours a line may come: further back across New Year means another year."""
_HALF_A_YEAR: Final = timedelta(days=183)
_FEBRUARY: Final = 2
_GAP: Final = timedelta(days=31)
"""How long a log may say nothing in the first weeks of a year before it is held to turn back."""
_DISORDER: Final = 5 * 60 * 1_000_000
"""How far back, in microseconds, a line's time may go before the clock was put back instead."""
_JUMP: Final = 3 * 3600 * 1_000_000
YEARS: Final = range(1971, 2200)
"""Years that a mail log may be of."""
_WITHOUT_YEAR: Final = len(b"Nov 27 16:19")

_InYear = Callable[[int], datetime]
"""Gives a stamp in a year. Raises ValueError for a 29 February that the year does not have."""


class Clock:
    """Times of one log's lines, in their order."""

    def __init__(self, zone: tzinfo | None, *, now: datetime, year: int = 0, left: int = 0) -> None:
        """*zone* is that of stamps without one (None: this machine's); *year* that of the first stamp, 0 to guess.

        *left* is that of the clock that this one takes over from.
        """
        self.year = year
        """Year of the latest stamp that has none; 0 before the first."""
        self.left = left
        """Day (`date.toordinal`) from which the year went up last, while the log may turn back to it; 0 for none."""
        self.twofold = False
        """Whether the log is in an hour that happens twice."""
        self._zone = zone
        self._now = now.astimezone(zone).replace(tzinfo=None)
        self._day: datetime | None = None
        """Midnight of the latest stamp's day, for stamps without a year: the next one's year follows from it."""
        self._latest: int | None = None
        self._minutes: dict[bytes, int] = {}

    def at(self, stamp: bytes, zone: bytes) -> int | None:
        """Return the time of *stamp* (whole seconds, as `producers.frames` cuts it) in microseconds; None if wrong."""
        try:
            seconds = _SECONDS[stamp[-2:]]
            if zone:
                return self._absolute(stamp[:-3], zone) + seconds
            minute = self._minutes.get(stamp[:-3])
            if minute is not None and not self.twofold:
                time = minute + seconds
                if self._latest is None or time > self._latest:
                    self._latest = time
                return time
            return self._local(stamp[:-3], seconds)
        except (KeyError, ValueError, OverflowError, OSError):
            return None

    def _absolute(self, minute: bytes, zone: bytes) -> int:
        key = minute + zone
        known = self._minutes.get(key)
        if known is None:
            known = self._keep(key, _microseconds(self._naive(minute).replace(tzinfo=_offset(zone))))
        return known

    def _local(self, minute: bytes, seconds: int) -> int:
        naive = self._naive(minute)
        early, late = (_microseconds(naive.replace(tzinfo=self._zone, fold=fold)) for fold in (0, 1))
        latest = self._latest
        if early < late:
            put_back = latest is not None and early + seconds < latest - _DISORDER and latest - early < _JUMP
            time = (late if put_back else early) + seconds
        else:
            self._keep(minute, early)
            time = early + seconds
        if latest is None or time > latest or latest - time > _JUMP:
            self._latest = time
            self.twofold = early < late
        return time

    def _naive(self, minute: bytes) -> datetime:
        return self._with_year(minute) if len(minute) == _WITHOUT_YEAR else _naive(minute)

    def _with_year(self, minute: bytes) -> datetime:
        month, day = _MONTHS[minute[:3]], int(minute[4:6])
        hour, minutes = int(minute[7:9]), int(minute[10:12])

        def in_year(year: int) -> datetime:
            return datetime(year, month, day, hour, minutes)  # noqa: DTZ001 - its zone is added by the caller

        if self._day is None:
            naive = in_year(self.year) if self.year else self._first(in_year)
        else:
            naive = self._after(self._day, in_year)
        today = naive.replace(hour=0, minute=0)
        if today != self._day:
            self._minutes.clear()  # what is kept must be of this day, or a year later it would be taken for it
        self.year, self._day = naive.year, today
        return naive

    def _after(self, day: datetime, in_year: _InYear) -> datetime:
        """Return the stamp in the year that it has after a stamp of *day*.

        A log that jumps to January, and from there back to where it was, did not live a year in between: its machine
        had not been told the time yet.
        """
        naive = _nearest(in_year, day)
        if naive.year > day.year:
            self.left = day.toordinal()
        elif self.left and naive.year == day.year and naive.month > _FEBRUARY:
            left = datetime.fromordinal(self.left)
            self.left = 0
            if naive - day > _GAP and naive.replace(year=left.year) >= left - _LATE:
                return naive.replace(year=left.year)
        return naive

    def _first(self, in_year: _InYear) -> datetime:
        for year in range(self._now.year + 1, self._now.year - 9, -1):
            try:
                naive = in_year(year)
            except ValueError:  # 29 February
                continue
            if naive <= self._now + _FAST_CLOCK:
                return naive
        raise ValueError("no such day in any year")

    def _keep(self, minute: bytes, time: int) -> int:
        if len(self._minutes) > 1000:  # noqa: PLR2004 - a log moves on: the old ones aren't asked for
            self._minutes.clear()
        self._minutes[minute] = time
        return time


def _nearest(in_year: _InYear, day: datetime) -> datetime:
    """Return the stamp in the year that it has after a stamp of *day*."""
    year = day.year
    try:
        same = in_year(year)
    except ValueError:  # 29 February: the log goes on from a year that has none
        return in_year(year + 1)
    if same < day - _HALF_A_YEAR:
        return in_year(year + 1)
    if same > day + _HALF_A_YEAR and (last := in_year(year - 1)) >= day - _LATE:
        return last
    return same


def _naive(minute: bytes) -> datetime:
    """Read ``2026-11-27T16:19``. Raises ValueError."""
    naive = datetime.fromisoformat(minute.decode())
    if naive.year not in YEARS:
        raise ValueError("no year of a mail log")
    return naive


def _offset(zone: bytes) -> tzinfo:
    if zone == b"Z":
        return UTC
    size = timedelta(hours=int(zone[1:3]), minutes=int(zone[-2:]))
    return timezone(-size if zone.startswith(b"-") else size)


def _microseconds(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000
