"""The product's own code from a log's bytes to the rows that people see, in one process: no broker in between."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from random import Random
from typing import Any, Final

from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from producers.batching import Batching, Bucket
from producers.clock import Clock
from producers.intake import Intake
from producers.origins import Origins
from producers.relevance import Relevance
from schemas.raw import RawBatch, StreamPosition
from schemas.settings import Settings
from schemas.topics import topics_of
from sinks.batches import Batch
from sinks.writing import Positions, Writer
from streams.state import PartitionState, Write
from web.searches import deliveries, rejects
from web.searches.records import Record, json_line

PARTITIONS: Final = 4
NOW: Final = datetime(2026, 11, 23, 12, tzinfo=UTC)


class Pipeline:
    """Takes logs; shows deliveries and rejections."""

    def __init__(self, settings: Settings, writer: Writer, connection: Connection) -> None:
        """*writer* and *connection* are on a migrated database that nothing else uses."""
        kafka = settings.kafka.model_copy(update={"partitions": PARTITIONS})
        self.topics = topics_of(kafka, settings.stream)
        self.settings = settings
        self.states = [PartitionState(number, self.topics, settings.stream) for number in range(PARTITIONS)]
        self._writer, self._connection = writer, connection
        self._offset = 0

    def batches(self, log: bytes) -> list[tuple[int, RawBatch]]:
        """Return what the producer makes of a log file: batches of two lines at most, each with its partition."""
        made: list[tuple[int, RawBatch]] = []

        def emit(bucket: Bucket) -> None:
            made.append(
                (
                    bucket.partition,
                    RawBatch(host=bucket.host, source="scenario", position=StreamPosition(), lines=bucket.lines),
                )
            )
            bucket.lines = []

        producer = self.settings.producer.model_copy(update={"batch_lines": 2})
        batching = Batching(producer, PARTITIONS, emit)
        intake = Intake(
            clock=Clock(UTC, now=NOW),
            batching=batching,
            origins=Origins(batching, Relevance(producer.programs), "localhost"),
            longest=producer.max_line_bytes,
            bury=lambda line, offset: None,  # noqa: ARG005
        )
        intake.take(log)
        batching.close_all()
        return made

    def feed(self, log: bytes, chance: Random | None = None) -> None:
        """Put a log through; with *chance*, records and checkpoints of partitions interleave as it comes."""
        queues: dict[int, list[RawBatch]] = {}
        for partition, batch in self.batches(log):
            queues.setdefault(partition, []).append(batch)
        while queues:
            partition = chance.choice(sorted(queues)) if chance else min(queues)
            self.states[partition].merge(queues[partition].pop(0))
            if not queues[partition]:
                del queues[partition]
            if chance and chance.random() < 0.4:
                self.store(self.states[partition].checkpoint())
        for state in self.states:
            self.store(state.checkpoint())

    def store(self, writes: list[Write]) -> None:
        """Let the sink write what a checkpoint gave."""
        outputs = {topic.name for topic in self.topics.outputs()}
        batch = Batch()
        for write in writes:
            if write.topic in outputs:
                batch.add(self.topics, write.topic, write.key, write.value)
        before, self._offset = self._offset or None, self._offset + 1
        self._writer.write(batch, {("scenario", 0): Positions(before, self._offset)})

    def deliveries(self) -> list[dict[str, Any]]:
        """Return all that ``deliveries`` shows, oldest first."""
        return _plain(deliveries.search(self._connection, deliveries.DeliverySearch(limit=0, since=_LONG_AGO)))

    def rejects(self) -> list[dict[str, Any]]:
        """Return all that ``rejects`` shows, oldest first."""
        return _plain(rejects.search(self._connection, rejects.RejectSearch(limit=0, since=_LONG_AGO)))

    def counts(self) -> dict[str, int]:
        """Return what the lines were counted as; unknown ones as ``unparsed``."""
        counts: dict[str, int] = {}
        for state in self.states:
            progress = state.progress
            for name, number in {"parsed": progress.parsed, "unparsed": progress.unparsed, **progress.ignored}.items():
                if number:
                    counts[name] = counts.get(name, 0) + number
        return counts


_LONG_AGO: Final = datetime(2000, 1, 1, tzinfo=UTC)


def _plain(found: Iterable[Record]) -> list[dict[str, Any]]:
    return [json.loads(json_line(record)) for record in found][::-1]
