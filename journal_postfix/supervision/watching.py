"""How far the stages are: what the stream has read of the raw topic, what the sink has stored of the outputs."""

from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

import msgspec
import psycopg2

from journal_postfix.broker import TopicEnds
from journal_postfix.tail import Tail
from schemas.errors import TryAgainLaterError
from schemas.progress import Progress, decode_progress
from schemas.raw import decode_position
from schemas.settings import Settings
from schemas.topics import topics_of
from web.searches.database import connect

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

Offsets = dict[tuple[str, int], int]
"""(topic, partition) → offset of the next record."""


class Stored(msgspec.Struct, frozen=True):
    """What the tables hold."""

    messages: int = 0
    deliveries: int = 0
    attempts: int = 0
    rejects: int = 0

    def since(self, before: "Stored") -> "Stored":
        """Return what came after *before*."""
        return Stored(*(getattr(self, f) - getattr(before, f) for f in self.__struct_fields__))


class Lines(msgspec.Struct, frozen=True):
    """How many lines producers have read."""

    lines: int = 0
    ignored: int = 0
    """Of these, lines of other programs, which were not sent."""
    dead: int = 0
    """Of these, lines that were too large: dead letters."""

    @property
    def sent(self) -> int:
        """Of these, lines that went to the raw topic."""
        return self.lines - self.ignored - self.dead

    def since(self, before: "Lines") -> "Lines":
        """Return what came after *before*; all of it where counting began anew."""
        if self.lines < before.lines:
            return self
        return Lines(self.lines - before.lines, self.ignored - before.ignored, self.dead - before.dead)


def total(parts: Iterable[Lines]) -> Lines:
    """Return the sum of *parts*."""
    every = list(parts)
    return Lines(sum(p.lines for p in every), sum(p.ignored for p in every), sum(p.dead for p in every))


def behind(positions: Offsets, ends: Offsets) -> int:
    """Return how many records lie between *positions* and *ends*; a position that is not known is 0."""
    return sum(max(0, end - positions.get(at, 0)) for at, end in ends.items())


class Watch:
    """Reads the stages' own positions. A context manager."""

    def __init__(self, settings: Settings) -> None:
        """Connect. Raises ConfigurationError and TryAgainLaterError."""
        self._settings = settings
        topics = topics_of(settings.kafka, settings.stream)
        self._raw: Final = topics.raw.name
        self._outputs: Final = tuple(topic.name for topic in topics.outputs())
        self._ends = TopicEnds(settings)
        self._progress: dict[int, Progress] = {}
        self._sources: dict[str, Lines] = {}
        self._progress_tail = Tail(settings, topics.progress.name)
        self._positions_tail = Tail(settings, topics.positions.name)
        self._connection: Connection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for part in (self._progress_tail, self._positions_tail, self._ends):
            part.close()
        if self._connection is not None:
            self._connection.close()

    def raw_ends(self) -> Offsets:
        """Return where the raw topic ends now."""
        return self._ends.high_watermarks([self._raw])

    def output_ends(self) -> Offsets:
        """Return where the topics that the sink reads end now."""
        return self._ends.high_watermarks(self._outputs)

    def progress(self) -> list[Progress]:
        """Return what the stream says of each partition. Raises TryAgainLaterError."""
        for _, value in self._progress_tail.news():
            said = decode_progress(value)
            self._progress[said.partition] = said
        return list(self._progress.values())

    def sources(self) -> dict[str, Lines]:
        """Return how many lines were read of each source. Raises TryAgainLaterError."""
        for _, value in self._positions_tail.news():
            said = decode_position(value)
            self._sources[said.source] = Lines(said.position.lines, said.position.ignored, said.position.dead)
        return dict(self._sources)

    def stream_positions(self) -> Offsets:
        """Return how far the stream has read."""
        return {(self._raw, said.partition): said.next_offset for said in self.progress()}

    def sink_positions(self) -> Offsets:
        """Return how far the sink has stored. Raises TryAgainLaterError."""
        rows = self._rows("SELECT topic, partition, next_offset FROM sink_positions")
        return {(topic, partition): next_offset for topic, partition, next_offset in rows}

    def stored(self) -> Stored:
        """Count the rows of the tables. Takes a second per some million rows."""
        [row] = self._rows(
            "SELECT (SELECT count(*) FROM delivery_from), count(*), coalesce(sum(attempts), 0),"
            " (SELECT count(*) FROM noqueue) FROM delivery_to"
        )
        return Stored(*map(int, row))

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        try:
            if self._connection is None or self._connection.closed:
                self._connection = connect(self._settings.database)
                self._connection.autocommit = True
            with self._connection.cursor() as cursor:
                cursor.execute(query)
                return cursor.fetchall()
        except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
            self._connection = None
            raise TryAgainLaterError(f"the database went away: {str(error).strip()}") from None
