"""From a line in the log to the row in PostgreSQL: how long it takes at a steady rate, all stages running.

    python bench/latency.py [--rate N] [--seconds N]

A log is written at *rate* lines a second, five a message, as Postfix writes them; a reader asks PostgreSQL every 20 ms
which deliveries are there. The time counts from when the delivery's line was written.
"""

import statistics
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import psycopg2
from figures import Figures, arguments
from running import Stage, folder, kafka

from journal_postfix.local import EmbeddedDatabase
from schemas.settings import Settings
from sinks import migrating

LINES_OF_A_MESSAGE: Final = 5
_ASK_SECONDS: Final = 0.02
_WARM_UP_SECONDS: Final = 5
_PATIENCE_SECONDS: Final = 60


def message(number: int) -> tuple[str, str]:
    """Return a queue id and the lines of its message."""
    queue_id = f"{number:05X}{number % 4096 + 0xA0000:X}"
    stamp = datetime.now(UTC).isoformat(timespec="microseconds")
    smtp = f"{stamp} mx1 postfix"
    return queue_id, (
        f"{smtp}/smtpd[100]: {queue_id}: client=mail.example[192.0.2.1]\n"
        f"{smtp}/cleanup[101]: {queue_id}: message-id=<{number}@mail.example>\n"
        f"{smtp}/qmgr[102]: {queue_id}: from=<a@mail.example>, size=1000, nrcpt=1 (queue active)\n"
        f"{smtp}/smtp[103]: {queue_id}: to=<b@r.example>, relay=mx.r.example[192.0.2.2]:25, delay=0.5, "
        "delays=0.1/0/0.2/0.2, dsn=2.0.0, status=sent (250 2.0.0 Ok)\n"
        f"{smtp}/qmgr[102]: {queue_id}: removed\n"
    )


class Seen:
    """The deliveries that PostgreSQL has."""

    def __init__(self, settings: Settings) -> None:
        """Connect."""
        self._connection: Any = psycopg2.connect(**settings.database.connection_parameters())
        self._connection.autocommit = True
        self._seen: set[str] = set()

    def new(self) -> set[str]:
        """Return the queue ids that were not there when this was last asked."""
        with self._connection.cursor() as cursor:
            cursor.execute("SELECT queue_id FROM delivery_to")
            new = {queue_id for (queue_id,) in cursor.fetchall()} - self._seen
        self._seen |= new
        return new

    def close(self) -> None:
        """Disconnect."""
        self._connection.close()


def feed(log: Path, seen: Seen, rate: int, seconds: int, first: int) -> list[float]:
    """Write messages for *seconds*; return how long each took, once all are there. Raises TimeoutError."""
    written: dict[str, float] = {}
    took: list[float] = []
    number = first
    began = time.monotonic()
    asked = began
    with log.open("a", buffering=1) as file:
        while (now := time.monotonic()) < began + seconds or written:
            while now < began + seconds and (number - first) * LINES_OF_A_MESSAGE < (now - began) * rate:
                queue_id, text = message(number)
                file.write(text)
                written[queue_id] = time.monotonic()
                number += 1
            if now - asked >= _ASK_SECONDS:
                asked = now
                new, at = seen.new(), time.monotonic()
                took += [at - written.pop(queue_id) for queue_id in new & written.keys()]
            if now > began + seconds + _PATIENCE_SECONDS:
                raise TimeoutError(f"{len(written)} messages did not arrive")
            time.sleep(0.001)
    return took


def main() -> None:
    """Measure and print."""
    options = arguments(__doc__ or "", rate=(1000, "lines a second"), seconds=(30, "how long"))
    figures = Figures(options)
    with folder() as path, kafka(path, 8) as broker, EmbeddedDatabase(path / "postgres", Settings()) as database:
        settings = broker.model_copy(update={"database": database.settings})
        migrating.migrate(settings)
        log = path / "mail.log"
        log.write_text(message(0)[1])
        with (
            Stage(settings, "produce", "logfile", "--follow", str(log)),
            Stage(settings, "stream"),
            Stage(settings, "sink"),
        ):
            seen = Seen(settings)
            feed(log, seen, options.rate, _WARM_UP_SECONDS, 1)
            took = feed(log, seen, options.rate, options.seconds, 1_000_000)
            seen.close()
        figures.add("messages", len(took), f"at {options.rate:,} lines/s")
        figures.add("line to row, p50", statistics.median(took), "s")
        figures.add("line to row, p99", statistics.quantiles(took, n=100)[-1], "s")
        figures.add("line to row, longest", max(took), "s")
    figures.close()


if __name__ == "__main__":
    main()
