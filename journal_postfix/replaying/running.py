"""One replay: reads and parses in this thread, while another one writes what was parsed before."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Event
from typing import Final, Self

import msgspec
import psycopg2

from journal_postfix.replaying.rows import Counts, Rows, halves
from journal_postfix.replaying.source import Source, Stretch
from schemas.errors import ConfigurationError, TryAgainLaterError, one_line
from schemas.settings import Settings
from schemas.topics import topics_of
from sinks import purging
from sinks.batches import Batch
from sinks.connecting import unusable
from sinks.writing import REFUSALS, PositionMovedError, Positions, TopicPartition, Writer

_RECORDS: Final = 250
_BYTES: Final = 8 * 1024 * 1024
"""A batch is written after so many records, or bytes of them: some 20,000 rows, which is quickest."""
_PAUSES: Final = (0.2, 1.0, 5.0, 15.0)
"""Seconds before a write is tried again that the server broke off."""
_TELL_SECONDS: Final = 0.25

_LOST: Final = (psycopg2.OperationalError, psycopg2.InterfaceError, psycopg2.InternalError)


class Standing(msgspec.Struct, frozen=True):
    """How far a replay is."""

    records: int
    """Read so far, of `total`."""
    total: int
    lines: int
    seconds: float


class Outcome(msgspec.Struct, frozen=True):
    """What a replay came to."""

    counts: Counts
    seconds: float
    finished: bool
    """Whether it came to its end; else it was told to stop, and what it has read is written."""


Tell = Callable[[Standing], None]


def replay(  # noqa: PLR0917 - the two ends, and how to stop and tell
    source: Source,
    stretches: Mapping[int, Stretch],
    settings: Settings,
    stop: Event,
    tell: Tell,
    positions: Mapping[int, int] | None = None,
) -> Outcome:
    """Read *stretches* of *source* again and merge what they say into the tables of *settings*.

    With *positions* (by partition, as those tables have them) they move on with the rows, so that another replay goes
    on there; without, it begins anew. Raises ConfigurationError and TryAgainLaterError.
    """
    try:
        with _Replay(source, stretches, settings, positions) as running:
            return running.run(stop, tell)
    except PositionMovedError as error:
        raise ConfigurationError(
            f"another replay writes into schema {settings.database.schema_name}: {error}"
        ) from error
    except _LOST as error:
        raise TryAgainLaterError(
            f"the database can't be used now: {one_line(error)}; run the replay again: what it has written stays right"
        ) from error
    except psycopg2.Error as error:
        raise unusable(error, settings.database) from error


class _Replay:
    def __init__(
        self,
        source: Source,
        stretches: Mapping[int, Stretch],
        settings: Settings,
        positions: Mapping[int, int] | None,
    ) -> None:
        self._source = source
        self._stretches = stretches
        self._settings = settings
        self._written = dict(positions) if positions is not None else None
        oldest = purging.cutoffs(settings.retention, None, datetime.now(UTC))
        self._rows = Rows(
            topics_of(settings.kafka, settings.stream),
            settings.stream,
            {table: f"{before:%Y-%m-%dT%H:%M:%S.%fZ}" for table, before in oldest.items()},
        )
        self._merged = self._refused = 0
        self._writer = Writer(settings)
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="replay-write")
        self._writing: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown()
        self._writer.close()

    def run(self, stop: Event, tell: Tell) -> Outcome:
        began = told = time.monotonic()
        total = sum(stretch.end - stretch.next for stretch in self._stretches.values())
        records = size = 0
        for record in self._source.read(self._stretches):
            if record is not None:
                value = record.value()
                self._rows.take(record.partition(), value)
                records, size = records + 1, size + len(value or b"")
                if records >= _RECORDS or size >= _BYTES:
                    self._write()
                    records = size = 0
            if stop.is_set():
                break
            if (now := time.monotonic()) - told >= _TELL_SECONDS:
                told = now
                left = sum(stretch.end - stretch.next for stretch in self._stretches.values())
                tell(Standing(total - left, total, self._rows.counts().lines, now - began))
        self._write()
        self._finish_writing()
        counts = self._rows.counts()
        counts.rows, counts.refused = self._merged, self._refused
        finished = all(stretch.next >= stretch.end for stretch in self._stretches.values())
        return Outcome(counts, time.monotonic() - began, finished)

    def _write(self) -> None:
        """Hand over what was read to be written, when the batch before it is."""
        batch = self._rows.checkpoint()
        positions: dict[TopicPartition, Positions] = {}
        if self._written is not None:
            for number, stretch in self._stretches.items():
                if stretch.next != (before := self._written.get(number)):
                    positions[self._source.topic, number] = Positions(before, stretch.next)
                    self._written[number] = stretch.next
        self._finish_writing()
        self._writing = self._executor.submit(self._store, batch, positions)

    def _finish_writing(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def _store(self, batch: Batch, positions: Mapping[TopicPartition, Positions]) -> None:
        """Store *batch* and *positions*, again where the server breaks off: merging twice does no harm."""
        for pause in (*_PAUSES, None):
            try:
                if batch or batch.withdrawn or batch.withdrawn_deliveries or positions:
                    self._writer.write(batch, positions)
                    self._merged += len(batch)
            except REFUSALS:
                self._store_apart(batch)
                self._store(Batch(), positions)
            except _LOST:
                if pause is None:
                    raise
                time.sleep(pause)
                self._writer.close()
                self._writer = Writer(self._settings)
                if positions and self._are_stored(positions):
                    return
            else:
                return
            return

    def _store_apart(self, batch: Batch) -> None:
        """Store *batch* by halves, until the rows that PostgreSQL refuses stand alone."""
        if len(batch) == 1:
            self._refused += 1
            self._store(batch.tombstones(), {})
            return
        for half in halves(batch):
            self._store(half, {})

    def _are_stored(self, positions: Mapping[TopicPartition, Positions]) -> bool:
        """Tell whether a commit came through whose answer did not."""
        there = self._writer.positions([self._source.topic])
        return all(at in there and there[at].next == position.next for at, position in positions.items())
