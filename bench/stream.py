"""The stream stage: lines a second of workers as they run, over an embedded Kafka.

    python bench/stream.py [LINES] [WORKERS] [PARTITIONS]

The topic is filled first. Measured is from the first checkpoint on: what a start costs is not in it.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from confluent_kafka import OFFSET_END, Consumer, TopicPartition
from logs import lines

from journal_postfix.local import EmbeddedBroker
from journal_postfix.supervision.environment import environment_of
from journal_postfix.topics import make
from schemas.progress import decode_progress
from schemas.settings import KafkaSettings, ProducerSettings, Settings
from schemas.topics import topics_of

SILENT_SECONDS = 60
COMMAND = [sys.executable, "-m", "journal_postfix"]


def cpu_of(processes: list[psutil.Process]) -> float:
    """Return the CPU seconds of *processes*."""
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def main() -> None:
    """Measure and print."""
    wanted, workers, partitions = (
        int(sys.argv[place]) if len(sys.argv) > place else default for place, default in ((1, 460_000), (2, 1), (3, 8))
    )
    with tempfile.TemporaryDirectory(prefix="journal-postfix-bench-") as name:
        folder = Path(name)
        log = folder / "mail.log"
        with log.open("w") as file:
            count = sum(bool(file.write(f"{line}\n")) for line in lines(wanted))
        with EmbeddedBroker(folder / "kafka", Settings()) as broker:
            kafka = KafkaSettings(bootstrap_servers=broker.bootstrap_servers, partitions=partitions)
            settings = Settings(kafka=kafka, producer=ProducerSettings(timezone="UTC"))
            make(settings)
            environment = environment_of(settings, os.environ)
            began = time.monotonic()
            subprocess.run([*COMMAND, "produce", "logfile", str(log)], env=environment, check=True)
            print(f"producer: {count / (time.monotonic() - began):,.0f} lines/s with its start")
            measure(settings, environment, count, workers)


def measure(settings: Settings, environment: dict[str, str], count: int, workers: int) -> None:
    """Run *workers* over the *count* lines that are there, and print what that took."""
    progress = topics_of(settings.kafka, settings.stream).progress.name
    consumer = Consumer(
        {
            "bootstrap.servers": settings.kafka.bootstrap_servers,
            "group.id": "bench",
            "isolation.level": "read_committed",
        }
    )
    consumer.assign([TopicPartition(progress, 0, OFFSET_END)])
    consumer.poll(1)
    running = [
        subprocess.Popen([*COMMAND, "stream"], env=environment, stderr=subprocess.DEVNULL) for _ in range(workers)
    ]
    processes = [psutil.Process(process.pid) for process in running]
    done: dict[bytes, int] = {}
    began = used = first = heard = 0.0
    while sum(done.values()) < count:
        record = consumer.poll(1)
        now = time.monotonic()
        if record is None or record.error() is not None:
            assert not heard or now - heard < SILENT_SECONDS, "the stream stage does not go on"
            continue
        heard = now
        done[record.key() or b""] = decode_progress(record.value() or b"").lines
        if not began:
            began, used, first = now, cpu_of(processes), sum(done.values())
    seconds, cpu, measured = time.monotonic() - began, cpu_of(processes) - used, count - first
    memory = sum(process.memory_info().rss for process in processes) / 2**20
    print(
        f"{workers} workers: {measured / seconds:,.0f} lines/s, {cpu / measured * 1e6:.1f} CPU s per million lines, "
        f"{memory:.0f} MB; load average {os.getloadavg()[0]:.1f}"
    )
    for process in running:
        process.send_signal(signal.SIGTERM)
    for process in running:
        process.wait(20)
    consumer.close()


if __name__ == "__main__":
    main()
