"""The sink: rows a second of one process as it runs, from Kafka into tables with every index that the searches need.

    python bench/sink.py [--lines N] [--rows N] [--partitions N]

The output topics are filled first, by the other stages. Beside it: a bare loop that COPYs the same rows, decoded and
merged before, in batches of the same size, and upserts them into the same tables, and the names of each batch into
theirs; it knows no positions and no merging. Both begin with *rows* deliveries in the tables, and with the partitions
made.
"""

import io
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import psycopg2
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition
from figures import Figures, arguments
from filled import fill
from running import Progress, Stage, folder, kafka, produce, write_log

from journal_postfix.local import EmbeddedDatabase
from schemas.settings import Settings
from schemas.topics import Topics, topics_of
from sinks import migrating
from sinks.batches import Batch
from sinks.day_partitions import DayPartitions
from sinks.known_names import Name, names_of, store
from sinks.staging import TABLES, Copies, Staged, copies_of

_POLL_SECONDS: Final = 0.1


def fill_topics(settings: Settings, path: Path, lines: int) -> None:
    """Let producer and stream stage write the output topics."""
    count = write_log(path / "mail.log", lines)
    produce(settings, path / "mail.log")
    progress = Progress(settings)
    with Stage(settings, "stream"):
        progress.wait(count)
    progress.close()


def read(settings: Settings) -> tuple[list[Batch], dict[tuple[str, int], int]]:
    """Return what the sink is to write, in batches of its size, and the offsets after the last record."""
    topics = topics_of(settings.kafka, settings.stream)
    consumer = Consumer(
        {
            "bootstrap.servers": settings.kafka.bootstrap_servers,
            "group.id": "bench-read",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
        }
    )
    places = [
        TopicPartition(topic.name, number, OFFSET_BEGINNING)
        for topic in topics.outputs()
        for number in range(topic.partitions)
    ]
    consumer.assign(places)
    ends: dict[tuple[str, int], int] = {}
    batches = [Batch()]
    waiting = len(places)
    taken = 0
    while waiting:
        for record in consumer.consume(1000, 1.0):
            error = record.error()
            if error is not None and error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - librdkafka's name
                ends[record.topic(), record.partition()] = record.offset()
                waiting -= 1
            elif error is None:
                taken = _take(batches, topics, record, taken, settings.sink.batch_rows)
    consumer.close()
    return batches, ends


def _take(batches: list[Batch], topics: Topics, record: Any, taken: int, most: int) -> int:
    if taken == most:
        batches.append(Batch())
        taken = 0
    batches[-1].add(topics, record.topic(), record.key(), record.value())
    return taken + 1


def new_names(batches: list[Batch]) -> Iterator[set[Name]]:
    """Yield the names of each batch that none before has."""
    known: set[Name] = set()
    for batch in batches:
        new = names_of(batch) - known
        known |= new
        yield new


def upsert(staged: Staged) -> str:
    """Return a bare upsert: the new row wins."""
    columns = ", ".join(staged.columns)
    keys = ", ".join(staged.key)
    changes = ", ".join(f"{name} = excluded.{name}" for name in staged.columns if name not in staged.key)
    return (
        f"INSERT INTO {staged.target} ({columns}) SELECT {columns} FROM {staged.table} ORDER BY {keys} "
        f"ON CONFLICT ({keys}) DO UPDATE SET {changes}"
    )


def bare(settings: Settings, batches: list[tuple[Copies, set[Name]]]) -> float:
    """Return the seconds that the bare loop takes."""
    connection = psycopg2.connect(**settings.database.connection_parameters())
    with connection, connection.cursor() as cursor:
        for staged in TABLES:
            cursor.execute(staged.create)
    today = datetime.now(UTC).date()
    began = time.monotonic()
    for copies, names in batches:
        with connection, connection.cursor() as cursor:
            if names:
                store(cursor, names, today)
            for staged, text in copies:
                cursor.copy_expert(staged.copy, io.BytesIO(text), len(text))
                cursor.execute(upsert(staged))
    seconds = time.monotonic() - began
    connection.close()
    return seconds


def ours(settings: Settings, ends: dict[tuple[str, int], int]) -> tuple[float, float]:
    """Return the records a second of the running sink, from its first commit on, and its CPU seconds a record."""
    connection = psycopg2.connect(**settings.database.connection_parameters())
    connection.autocommit = True
    in_all = sum(ends.values())
    began = used = 0.0
    first = 0
    with connection.cursor() as cursor, Stage(settings, "sink") as sink:
        while True:
            cursor.execute("SELECT coalesce(sum(next_offset), 0) FROM sink_positions")
            [(done,)] = cursor.fetchall()
            if done and not began:
                began, used, first = time.monotonic(), sink.cpu(), int(done)
            if done >= in_all:
                break
            time.sleep(_POLL_SECONDS)
        seconds, cpu = time.monotonic() - began, sink.cpu() - used
    connection.close()
    return (in_all - first) / seconds, cpu / (in_all - first)


def prepared(path: Path, name: str, rows: int, days: set[str], figures: Figures) -> EmbeddedDatabase:
    """Return a running database with *rows* and with the partitions of *days*."""
    database = EmbeddedDatabase(path / name, Settings())
    database.start()
    settings = Settings(database=database.settings)
    migrating.migrate(settings)
    fill(database.settings, rows, figures.say)
    connection = psycopg2.connect(**database.settings.connection_parameters())
    DayPartitions(connection, settings.sink.days_ahead).ensure(days)
    connection.commit()
    connection.close()
    return database


def main() -> None:
    """Measure and print."""
    options = arguments(
        __doc__ or "",
        lines=(460_000, "lines of the log that the rows come from"),
        rows=(0, "deliveries that are in the tables before"),
        partitions=(8, "partitions of the topics"),
    )
    figures = Figures(options)
    with folder() as path, kafka(path, options.partitions) as settings:
        fill_topics(settings, path, options.lines)
        batches, ends = read(settings)
        days = {day for batch in batches for day in batch.days()}
        rows = sum(map(len, batches))
        copies = [(copies_of(batch), names) for batch, names in zip(batches, new_names(batches), strict=True)]
        figures.add("rows", rows, f"in {len(batches)} batches")
        database = prepared(path, "bare", options.rows, days, figures)
        yardstick = rows / bare(settings.model_copy(update={"database": database.settings}), copies)
        database.stop()
        figures.add("bare COPY and upsert", yardstick, "rows/s")
        database = prepared(path, "sink", options.rows, days, figures)
        rate, cpu = ours(settings.model_copy(update={"database": database.settings}), ends)
        database.stop()
        figures.add("sink", rate * rows / sum(ends.values()), "rows/s", ("the bare loop", yardstick))
        figures.add("sink, CPU of its process", cpu * sum(ends.values()) / rows * 1e6, "s per million rows")
    figures.close()


if __name__ == "__main__":
    main()
