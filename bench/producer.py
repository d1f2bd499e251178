"""The producer: lines a second from a file and from a journal file into an embedded Kafka.

    python bench/producer.py [--lines N] [--partitions N]

Beside it: librdkafka alone, which sends the same records, made before; `cat` of the file, `journalctl` of the journal.
The journal part needs systemd-journal-remote, which makes the journal file, and systemd-python; without them it says
so and is left out.
"""

import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from confluent_kafka import Producer
from figures import Figures, arguments
from logs import lines
from parse import batches_of
from running import folder, kafka, write_log

from producers import journal, logfile
from schemas.kafka import client_config
from schemas.raw import encode_batch
from schemas.settings import Settings
from schemas.topics import topics_of

_REMOTE: Final = "/lib/systemd/systemd-journal-remote"
_START: Final = 1_700_000_000_000_000


def seconds(work: Callable[[], object]) -> float:
    """Return how long *work* took."""
    began = time.monotonic()
    work()
    return time.monotonic() - began


def librdkafka(settings: Settings, values: list[tuple[int, bytes]]) -> None:
    """Send *values*, and wait until Kafka has them."""
    name = topics_of(settings.kafka, settings.stream).raw.name
    producer = Producer(
        {
            **client_config(settings.kafka, "bench"),
            "enable.idempotence": True,
            "compression.type": "lz4",
            "linger.ms": 5,
        }
    )
    for partition, value in values:
        while True:
            try:
                producer.produce(name, value, partition=partition)
                break
            except BufferError:
                producer.poll(0.1)
    producer.flush()


def journal_file(path: Path, count: int) -> Path | None:
    """Return the folder of a journal file with a log of *count* lines; None where there is nothing to make it with."""
    if not shutil.which("journalctl") or not Path(_REMOTE).exists():
        return None
    folder_of_it = path / "journal"
    folder_of_it.mkdir()
    export = path / "journal.export"
    with export.open("w") as file:
        for number, line in enumerate(lines(count)):
            program, _, message = line.split(" ", 4)[4].partition(": ")
            name, _, pid = program.partition("[")
            at = _START + number * 1000
            file.write(
                f"__REALTIME_TIMESTAMP={at}\n__MONOTONIC_TIMESTAMP={at - _START}\n"
                f"_BOOT_ID={1:032x}\n_HOSTNAME=mx1\n_SOURCE_REALTIME_TIMESTAMP={at}\nSYSLOG_IDENTIFIER={name}\n"
                f"SYSLOG_PID={pid.rstrip(']') or 0}\n_PID={pid.rstrip(']') or 0}\nMESSAGE={message}\n\n"
            )
    subprocess.run(
        [_REMOTE, "-o", str(folder_of_it / "system.journal"), str(export)], check=True, stderr=subprocess.DEVNULL
    )
    return folder_of_it


def main() -> None:
    """Measure and print."""
    options = arguments(
        __doc__ or "", seed=(1, "seed of the log"), lines=(460_000, "lines"), partitions=(8, "partitions of the topic")
    )
    figures = Figures(options)
    with folder() as path:
        log = path / "mail.log"
        count = write_log(log, options.lines, options.seed)
        with log.open("rb") as file:
            cat = count / seconds(lambda: subprocess.run(["cat"], stdin=file, stdout=subprocess.DEVNULL, check=True))
        figures.add("cat of the file", cat, "lines/s")
        with kafka(path, options.partitions) as settings:
            values = [(partition, encode_batch(batch)) for partition, batch in batches_of(log.read_bytes(), settings)]
            bare = count / seconds(lambda: librdkafka(settings, values))
            figures.add("librdkafka alone", bare, "lines/s", ("cat", cat))
            stop = threading.Event()
            from_file = count / seconds(lambda: logfile.run(settings, [log], follow=False, stop=stop))
            figures.add("producer, from the file", from_file, "lines/s", ("librdkafka", bare))
            measure_journal(settings, path, count, bare, figures)
    figures.close()


def measure_journal(settings: Settings, path: Path, count: int, bare: float, figures: Figures) -> None:
    """Measure the producer of a journal file, and `journalctl` beside it."""
    directory = journal_file(path, count)
    if directory is None:
        print("no systemd-journal-remote here: the journal is left out", file=sys.stderr)
        return
    command = ["journalctl", "--directory", str(directory), "--output", "cat"]
    tool = count / seconds(lambda: subprocess.run(command, stdout=subprocess.DEVNULL, check=True))
    figures.add("journalctl", tool, "lines/s")
    stop = threading.Event()
    rate = count / seconds(lambda: journal.run(settings, directory=directory, follow=False, stop=stop))
    figures.add("producer, from the journal", rate, "lines/s", ("journalctl", tool))
    figures.add("  the same", rate, "lines/s", ("librdkafka", bare))


if __name__ == "__main__":
    main()
