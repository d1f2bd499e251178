"""The stream stage: lines a second of workers as they run, over an embedded Kafka.

    python bench/stream.py [--lines N] [--workers N] [--partitions N]

The topic is filled first. Measured is from the first checkpoint on: what a start costs is not in it. Beside it: a bare
aiokafka loop over the same topic, which only reads; and the same stage over a topic that holds one line a record.
"""

import asyncio
import time
from pathlib import Path
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from figures import Figures, arguments
from running import Progress, Stage, folder, kafka, produce, write_log

from schemas.raw import decode_batch
from schemas.settings import Settings
from schemas.topics import topics_of

_SINGLE_LINES: Final = 20_000


async def read(settings: Settings, count: int) -> float:
    """Read and decode *count* lines with aiokafka alone; return the seconds after the first record."""
    topic = topics_of(settings.kafka, settings.stream).raw
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka.bootstrap_servers, enable_auto_commit=False)
    await consumer.start()
    consumer.assign([TopicPartition(topic.name, number) for number in range(topic.partitions)])
    await consumer.seek_to_beginning()
    done, began = 0, 0.0
    while done < count:
        for records in (await consumer.getmany(timeout_ms=1000)).values():
            began = began or time.monotonic()
            done += sum(len(decode_batch(record.value).lines) for record in records)
    seconds = time.monotonic() - began
    await consumer.stop()
    return seconds


def measure(settings: Settings, count: int, workers: int) -> tuple[float, float, float]:
    """Run *workers* over the *count* lines that are there; return lines a second, CPU s a million, MB."""
    progress = Progress(settings)
    began = used = 0.0
    first = 0
    with Stage(settings, "stream", workers=workers) as stage:
        for done in progress:
            if not began:
                began, used, first = time.monotonic(), stage.cpu(), done
            if done >= count:
                break
        rate = (count - first) / (time.monotonic() - began)
        cpu = (stage.cpu() - used) / (count - first) * 1e6
        memory = stage.megabytes()
    progress.close()
    return rate, cpu, memory


def single(path: Path, partitions: int) -> float:
    """Return the lines a second where a record holds one line."""
    count = write_log(path / "single.log", _SINGLE_LINES)
    path = path / "single"
    path.mkdir()
    with kafka(path, partitions) as settings:
        one = settings.model_copy(update={"producer": settings.producer.model_copy(update={"batch_lines": 1})})
        produce(one, path.parent / "single.log")
        return measure(one, count, 1)[0]


def main() -> None:
    """Measure and print."""
    options = arguments(
        __doc__ or "",
        seed=(1, "seed of the log"),
        lines=(460_000, "lines of the log"),
        workers=(1, "stream workers"),
        partitions=(8, "partitions of the topic"),
    )
    figures = Figures(options)
    with folder() as path:
        count = write_log(path / "mail.log", options.lines, options.seed)
        with kafka(path, options.partitions) as settings:
            figures.add("producer, with its start", count / produce(settings, path / "mail.log"), "lines/s")
            bare = count / asyncio.run(read(settings, count))
            rate, cpu, memory = measure(settings, count, options.workers)
        figures.add("bare aiokafka loop", bare, "lines/s")
        figures.add("stream stage", rate, "lines/s", ("the bare loop", bare))
        figures.add("stream stage, CPU", cpu, "s per million lines")
        figures.add("stream stage, memory", memory, "MB")
        figures.add("one line a record", single(path, options.partitions), "lines/s", ("the stream stage", rate))
    figures.close()


if __name__ == "__main__":
    main()
