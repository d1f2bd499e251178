"""What benchmarks of running stages share: an embedded Kafka with our topics, stages as processes, how far they are."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import psutil
from confluent_kafka import OFFSET_END, Consumer, TopicPartition
from logs import lines

from journal_postfix.local import EmbeddedBroker
from journal_postfix.supervision.environment import environment_of
from journal_postfix.topics import make
from schemas.progress import decode_progress
from schemas.settings import KafkaSettings, ProducerSettings, Settings
from schemas.topics import topics_of

SILENT_SECONDS: Final = 60
_STOP_SECONDS: Final = 30
_COMMAND: Final = [sys.executable, "-m", "journal_postfix"]


@contextmanager
def folder() -> Iterator[Path]:
    """Yield a folder that PostgreSQL's user may enter; it goes at the end."""
    with tempfile.TemporaryDirectory(prefix="journal-postfix-bench-") as name:
        path = Path(name)
        path.chmod(0o711)
        yield path


@contextmanager
def kafka(path: Path, partitions: int) -> Iterator[Settings]:
    """Yield settings with an embedded Kafka that has our topics."""
    with EmbeddedBroker(path / "kafka", Settings()) as broker:
        settings = Settings(
            kafka=KafkaSettings(bootstrap_servers=broker.bootstrap_servers, partitions=partitions),
            producer=ProducerSettings(timezone="UTC"),
        )
        make(settings)
        yield settings


def write_log(path: Path, wanted: int, seed: int = 1) -> int:
    """Write a log of about *wanted* lines; return how many there are."""
    with path.open("w") as file:
        return sum(bool(file.write(f"{line}\n")) for line in lines(wanted, seed))


def produce(settings: Settings, log: Path) -> float:
    """Send *log*; return the seconds, those of the start included."""
    began = time.monotonic()
    subprocess.run(
        [*_COMMAND, "produce", "logfile", str(log)], env=environment_of(settings, os.environ),
        check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    return time.monotonic() - began


class Stage:
    """A number of processes of a stage. A context manager: they end with it."""

    def __init__(self, settings: Settings, *command: str, workers: int = 1, log: Path | None = None) -> None:
        """Start ``journal-postfix`` *command*, *workers* times; what they log goes to *log*, as JSON."""
        environment = environment_of(settings, os.environ) | {"JOURNAL_POSTFIX_LOG_FORMAT": "json"}
        with (log or Path(os.devnull)).open("ab") as logged:
            self._running = [
                subprocess.Popen([*_COMMAND, *command], env=environment, stdout=subprocess.DEVNULL, stderr=logged)
                for _ in range(workers)
            ]
        self._processes = [psutil.Process(process.pid) for process in self._running]

    def cpu(self) -> float:
        """Return the CPU seconds so far."""
        return sum(sum(process.cpu_times()[:2]) for process in self._processes)

    def megabytes(self) -> float:
        """Return the resident memory."""
        return sum(process.memory_info().rss for process in self._processes) / 2**20

    def kill(self) -> None:
        """End the processes as a crash would."""
        for process in self._running:
            process.kill()
            process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._running:
            process.send_signal(signal.SIGTERM)
        for process in self._running:
            process.wait(_STOP_SECONDS)


class Progress:
    """How many lines the stream stage has done, from its own topic."""

    def __init__(self, settings: Settings) -> None:
        """Listen from now on."""
        self._consumer = Consumer(
            {
                "bootstrap.servers": settings.kafka.bootstrap_servers,
                "group.id": "bench",
                "isolation.level": "read_committed",
            }
        )
        name = topics_of(settings.kafka, settings.stream).progress.name
        self._consumer.assign([TopicPartition(name, 0, OFFSET_END)])
        self._consumer.poll(1)
        self._done: dict[bytes, int] = {}

    def __iter__(self) -> Iterator[int]:
        """Yield the lines done so far, after each checkpoint. Raises TimeoutError where none comes for a minute."""
        heard = time.monotonic()
        while True:
            record = self._consumer.poll(1)
            if record is not None and record.error() is None:
                heard = time.monotonic()
                self._done[record.key() or b""] = decode_progress(record.value() or b"").lines
                yield sum(self._done.values())
            elif time.monotonic() - heard > SILENT_SECONDS:
                raise TimeoutError("the stream stage does not go on")

    def wait(self, count: int) -> None:
        """Return when *count* lines are done."""
        for done in self:
            if done >= count:
                return

    def close(self) -> None:
        """Listen no longer."""
        self._consumer.close()
