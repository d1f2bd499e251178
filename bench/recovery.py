"""What messages in flight cost: a worker's memory, and how soon another one goes on after it was killed.

    python bench/recovery.py [--messages N] [--partitions N]

The log has N messages that are deferred. When a worker holds them all it is killed, a few lines more are sent, and a
new worker is started. Measured is from its start until those lines are done: Kafka's wait for the killed one (the
session timeout, here 6 s) is part of it. Restoring is what the worker says that reading its state took.
"""

import json
import time
from pathlib import Path
from typing import Any, Final

from figures import Figures, arguments
from running import Progress, Stage, folder, kafka, produce

from schemas.settings import Settings, StreamSettings

_STEP_MICROSECONDS: Final = 10_000
_BEGIN: Final = 1_790_000_000
_FEW: Final = 100


def write_deferred(log: Path, first: int, count: int) -> int:
    """Write a log of *count* deferred messages in the place of the last one; return the number of lines."""
    log.unlink(missing_ok=True)
    with log.open("w") as file:
        for number in range(first, first + count):
            queue_id = f"{number % 0xFFFFF:05X}{number // 0xFFFFF + 0xA00:X}{number % 0xFFF:03X}"
            seconds, rest = divmod(number * _STEP_MICROSECONDS, 1_000_000)
            stamp = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(_BEGIN + seconds))}.{rest:06d}+00:00"
            head = f"{stamp} mx1 postfix"
            file.write(
                f"{head}/smtpd[100]: {queue_id}: client=mail.example[192.0.2.1]\n"
                f"{head}/cleanup[101]: {queue_id}: message-id=<{number}@mail.example>\n"
                f"{head}/qmgr[102]: {queue_id}: from=<a{number}@mail.example>, size=1000, nrcpt=1 (queue active)\n"
                f"{head}/smtp[103]: {queue_id}: to=<b{number}@r.example>, relay=none, delay=30, delays=0/0/30/0, "
                "dsn=4.4.1, status=deferred (connect to r.example[192.0.2.2]:25: Connection timed out)\n"
            )
    return 4 * count


def restored(log: Path) -> dict[str, Any]:
    """Return what the worker says of its restoring."""
    said = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    found: dict[str, Any] = next(entry for entry in said if entry.get("event") == "partitions assigned")
    return found


def main() -> None:
    """Measure and print."""
    options = arguments(
        __doc__ or "",
        messages=(1_000_000, "messages in flight"),
        partitions=(8, "partitions of the topic"),
    )
    figures = Figures(options)
    with folder() as path, kafka(path, options.partitions) as given:
        settings = given.model_copy(update={"stream": StreamSettings(session_timeout_seconds=6)})
        measure(settings, path, options.messages, figures)
    figures.close()


def measure(settings: Settings, path: Path, messages: int, figures: Figures) -> None:
    """Fill, kill, go on."""
    log, said = path / "mail.log", path / "stream.log"
    progress = Progress(settings)
    count = write_deferred(log, 0, _FEW)
    produce(settings, log)
    with Stage(settings, "stream") as stage:
        progress.wait(count)
        empty = stage.megabytes()
        count += write_deferred(log, _FEW, messages)
        produce(settings, log)
        figures.say(f"{count:,} lines are in Kafka")
        progress.wait(count)
        memory = stage.megabytes()
        stage.kill()
    count += write_deferred(log, _FEW + messages, _FEW)
    produce(settings, log)
    began = time.monotonic()
    with Stage(settings, "stream", log=said) as stage:
        progress.wait(count)
        seconds = time.monotonic() - began
        again = stage.megabytes()
    progress.close()
    told = restored(said)
    figures.add("memory", (memory - empty) / messages * 1e6, "MB per million messages")
    figures.add("memory after restoring", (again - empty) / messages * 1e6, "MB per million messages")
    figures.add("restoring", told["records"] / told["seconds"], "changelog records/s")
    figures.add("restoring took", told["seconds"], f"s for {told['messages']:,} messages")
    figures.add("from start to new lines done", seconds, "s")


if __name__ == "__main__":
    main()
