"""Looks at Kafka and at PostgreSQL, which need no stage's help: what they show is that of all hosts."""

import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Final, Protocol, Self

import psycopg2

from journal_postfix.broker import TopicEnds, missing, reach
from journal_postfix.line_counts import summed
from journal_postfix.tail import Tail
from journal_postfix.top.picture import DatabaseLook, KafkaLook
from schemas.progress import Progress, decode_progress
from schemas.settings import Settings
from schemas.topics import topics_of
from web.searches.database import explained, searching
from web.searches.deferring import deferring

_AHEAD: Final = timedelta(minutes=10)
"""How far a mail host's clock may be ahead."""
_ANSWER_MS: Final = 5000

_WRITTEN: Final = """
SELECT coalesce(sum(n_tup_ins) FILTER (WHERE relname LIKE 'delivery\\_from\\_%'), 0)::bigint,
    coalesce(sum(n_tup_ins + n_tup_upd), 0)::bigint
FROM pg_stat_user_tables
WHERE schemaname = current_schema() AND relname ~ '^(delivery_from|delivery_to|noqueue|tls_sessions)_([0-9]+|later)$'
"""


class Side(Protocol):
    """One of the two; a context manager, for one thread."""

    name: str

    def look(self) -> KafkaLook | DatabaseLook:
        """Look. Raises JournalPostfixError where it is out of reach; the next look tries again."""


class _Connected:
    """What is connected to at the first look, and let go at the end."""

    def __init__(self) -> None:
        self._open = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()


class KafkaSide(_Connected):
    """What the stream has read, by its own account, and where topics end."""

    name = "kafka"

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        """Connect at the first look."""
        super().__init__()
        self._settings, self._clock = settings, clock
        self._topics = topics_of(settings.kafka, settings.stream)
        self._ends: TopicEnds | None = None
        self._tail: Tail | None = None
        self._progress: dict[int, Progress] = {}

    def look(self) -> KafkaLook:
        """Look. Raises ConfigurationError and TryAgainLaterError."""
        topics = self._topics
        try:
            if self._tail is None or self._ends is None:
                self._connect()
            assert self._tail is not None
            assert self._ends is not None
            for _, value in self._tail.news():
                said = decode_progress(value)
                self._progress[said.partition] = said
            # Ends after positions: what is behind is never less than it was.
            ends = self._ends.high_watermarks([topics.raw.name, *(topic.name for topic in topics.outputs())])
        except BaseException:
            self._open.close()
            self._tail = self._ends = None
            raise
        partitions = list(self._progress.values())
        return KafkaLook(
            at=self._clock(),
            counts=summed(partitions),
            in_flight=sum(said.in_flight for said in partitions),
            raw=topics.raw.name,
            read={(topics.raw.name, said.partition): said.next_offset for said in partitions},
            ends=ends,
        )

    def _connect(self) -> None:
        name = self._topics.progress.name
        if name not in reach(self._settings)[1].topics:
            raise missing(name)
        self._progress.clear()
        self._tail = self._open.enter_context(closing(Tail(self._settings, name)))
        self._ends = self._open.enter_context(closing(TopicEnds(self._settings)))


class DatabaseSide(_Connected):
    """What sinks have stored, and what is deferred."""

    name = "database"

    def __init__(self, settings: Settings, hours: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Look at the mail of the last *hours*; connect at the first look."""
        super().__init__()
        self._settings, self._hours, self._clock = settings.database, hours, clock
        self._connection: psycopg2.extensions.connection | None = None

    def look(self) -> DatabaseLook:
        """Look. Raises JournalPostfixError."""
        try:
            if self._connection is None:
                self._connection = self._open.enter_context(searching(self._settings))
            with self._connection, self._connection.cursor() as cursor:  # a transaction that ends
                cursor.execute("SET LOCAL statement_timeout = %s", (_ANSWER_MS,))
                cursor.execute("SELECT topic, partition, next_offset FROM sink_positions")
                stored = {(topic, number): offset for topic, number, offset in cursor.fetchall()}
                cursor.execute(_WRITTEN)
                messages, rows = cursor.fetchone() or (0, 0)
                now = datetime.now(UTC)
                found = deferring(self._connection, now - timedelta(hours=self._hours), now + _AHEAD)
        except psycopg2.Error as error:
            self._open.close()
            self._connection = None
            raise explained(error, self._settings) from None
        return DatabaseLook(at=self._clock(), stored=stored, messages=messages, rows=rows, deferring=found)
