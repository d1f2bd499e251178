"""One picture of the pipeline, made of looks at Kafka and at PostgreSQL; either may be out of reach."""

from collections import deque
from collections.abc import Callable, Collection
from datetime import datetime
from typing import Final, TypeVar

import msgspec

from journal_postfix.line_counts import LineCounts
from web.searches.deferring import Deferral

Offsets = dict[tuple[str, int], int]
"""(topic, partition) → offset of the next record."""

_WINDOW_SECONDS: Final = 10.0
"""Rates are those of so long, where the looks reach so far back."""


class KafkaLook(msgspec.Struct, frozen=True, kw_only=True):
    """What Kafka tells at a moment."""

    at: float
    """Seconds of a clock that only goes forward."""
    counts: LineCounts
    in_flight: int
    raw: str
    """Name of the topic that the stream reads."""
    read: Offsets
    """How far the stream is, of the raw topic."""
    ends: Offsets
    """Where the raw topic and those that the sink reads end."""


class DatabaseLook(msgspec.Struct, frozen=True, kw_only=True):
    """What PostgreSQL tells at a moment."""

    at: float
    stored: Offsets
    """How far sinks are."""
    messages: int
    """Messages written since the database counts."""
    rows: int
    """Rows written since then, a changed one again."""
    deferring: list[Deferral]


class PartitionLag(msgspec.Struct, frozen=True):
    """Records that wait in one partition; None where that is not known."""

    partition: int
    stream: int | None
    """Batches of lines that are not merged yet."""
    sink: int | None
    """Records of all topics that the sink reads, not stored yet."""


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """What there is to see. What is None is not known: its side is out of reach, or there was one look only."""

    at: datetime
    kafka: str | None = None
    """Why Kafka tells nothing, if so."""
    database: str | None = None
    """Why PostgreSQL tells nothing, if so."""
    lines_per_second: dict[str, float] | None = None
    """By class: ``parsed``, ``unparsed``, or why they are ignored."""
    messages_per_second: float | None = None
    rows_per_second: float | None = None
    in_flight: int | None = None
    lags: list[PartitionLag] = []
    hosts: dict[str, int] = {}
    """Time of the latest line by host, microseconds since 1970; the longest silent first."""
    unparsed: int | None = None
    """Lines that no parser knows, since the topic began."""
    dead_letters: int | None = None
    deferring: list[Deferral] | None = None


_Look = TypeVar("_Look", KafkaLook, DatabaseLook)
NOT_CONFIGURED: Final = "not configured"
NOT_YET: Final = "…"
"""Why a side tells nothing that has not been looked at."""


class Looks:
    """The latest looks, of which pictures are made."""

    def __init__(self, sides: Collection[str] = ("kafka", "database")) -> None:
        """There was none yet, of *sides*."""
        self._kafka: deque[KafkaLook] = deque()
        self._database: deque[DatabaseLook] = deque()
        self._trouble: dict[str, str | None] = {
            side: NOT_YET if side in sides else NOT_CONFIGURED for side in ("kafka", "database")
        }

    def take(self, look: KafkaLook | DatabaseLook) -> None:
        """Take a look."""
        if isinstance(look, KafkaLook):
            _keep(self._kafka, look)
            self._trouble["kafka"] = None
        else:
            _keep(self._database, look)
            self._trouble["database"] = None

    def lose(self, side: str, why: str) -> None:
        """Say that *side* (``kafka``, ``database``) is out of reach."""
        (self._kafka if side == "kafka" else self._database).clear()
        self._trouble[side] = why

    def picture(self, now: datetime) -> Picture:
        """Return the picture of the latest looks."""
        kafka = self._kafka[-1] if self._kafka else None
        database = self._database[-1] if self._database else None
        return Picture(
            at=now,
            kafka=self._trouble["kafka"],
            database=self._trouble["database"],
            lines_per_second=self._lines(),
            messages_per_second=_rate(self._database, lambda look: look.messages),
            rows_per_second=_rate(self._database, lambda look: look.rows),
            in_flight=kafka.in_flight if kafka else None,
            lags=_lags(kafka, database),
            hosts=kafka.counts.hosts if kafka else {},
            unparsed=kafka.counts.unparsed if kafka else None,
            dead_letters=kafka.counts.dead_letters if kafka else None,
            deferring=database.deferring if database else None,
        )

    def _lines(self) -> dict[str, float] | None:
        if len(self._kafka) < 2:  # noqa: PLR2004 - a rate takes two looks
            return None
        return {name: self._speed_of(name) for name in by_class(self._kafka[-1].counts)}

    def _speed_of(self, name: str) -> float:
        return _rate(self._kafka, lambda look: by_class(look.counts).get(name, 0)) or 0.0


def by_class(counts: LineCounts) -> dict[str, int]:
    """Return lines by what they are; together they are all."""
    return {"parsed": counts.parsed, "unparsed": counts.unparsed, **counts.ignored}


def _keep(looks: "deque[_Look]", look: _Look) -> None:
    looks.append(look)
    while len(looks) > 2 and looks[1].at <= look.at - _WINDOW_SECONDS:  # noqa: PLR2004 - two make a rate
        looks.popleft()


def _rate(looks: "deque[_Look]", of: Callable[[_Look], int]) -> float | None:
    if not looks or (seconds := looks[-1].at - looks[0].at) <= 0:
        return None
    return max(0, of(looks[-1]) - of(looks[0])) / seconds  # less than before: counted anew


def _lags(kafka: KafkaLook | None, database: DatabaseLook | None) -> list[PartitionLag]:
    if kafka is None:
        return []
    stream: dict[int, int] = {}
    sink: dict[int, int] = {}
    for (topic, number), end in kafka.ends.items():
        if topic == kafka.raw:
            stream[number] = max(0, end - kafka.read.get((topic, number), 0))
        elif database is not None:
            sink[number] = sink.get(number, 0) + max(0, end - database.stored.get((topic, number), 0))
    return [PartitionLag(number, stream.get(number), sink.get(number)) for number in sorted(stream | sink)]
