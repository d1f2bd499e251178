"""A sink that writes as fast as it can, while old days are dropped, and while their names become pseudonyms.

    python bench/privacy.py [--rows N] [--seconds N]

The tables hold *rows* deliveries of 30 days. A process of its own writes batches of today all the time, as a sink does;
its rows a second and its longest batch are told for each phase, and compared with a phase in which nothing else
happens.
"""

import multiprocessing
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from typing import Final

from figures import Figures, arguments
from filled import DAYS, fill
from running import folder

from journal_postfix.local import EmbeddedDatabase
from schemas.deliveries import DeliveryFrom, DeliveryTo
from schemas.settings import RetentionSettings, Settings
from schemas.timestamps import to_text
from sinks import migrating
from sinks.batches import Batch
from sinks.pseudonymising import pseudonymise
from sinks.purging import cutoffs, purge
from sinks.writing import Writer

_MESSAGES: Final = 2_500
"""Of a batch, with a delivery each."""


def batch_of(number: int, moment: int) -> Batch:
    """Return the rows of a batch at *moment*, in microseconds."""
    batch = Batch()
    for n in range(_MESSAGES):
        at, queue_id = to_text(moment + n), f"4b{number:06x}{n:05x}zQ"
        recipient = f"person{n * 7919 % 5000}@r{n % 300}.example"
        batch.messages["mx1", queue_id, at] = DeliveryFrom(
            host="mx1", queue_id=queue_id, arrived_at=at, origin=2, sender=f"user{n % 999}@d{n % 99}.example",
            client_name=f"c{n % 99}.isp.example", client_address=f"192.0.2.{n % 250}", size=n, removed_at=at,
        )  # fmt: skip
        batch.deliveries["mx1", queue_id, at, recipient, ""] = DeliveryTo(
            host="mx1", queue_id=queue_id, arrived_at=at, origin=2, recipient=recipient, last_attempt_at=at,
            first_attempt_at=at, status="sent", service="smtp", reply="250 2.0.0 Ok: queued as 4bXyZ12QrSz5T",
        )  # fmt: skip
    return batch


def load(settings: Settings, told: Connection) -> None:
    """Write batch after batch, until told to stop; tell of each how long it took."""
    writer = Writer(settings)
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    start = int(midnight.timestamp()) * 1_000_000
    number = 0
    while not told.poll():
        batch = batch_of(number, start + number * _MESSAGES)
        began = time.monotonic()
        writer.write(batch, {})
        told.send(time.monotonic() - began)
        number += 1
    writer.close()


class Loader:
    """The process that writes."""

    def __init__(self, settings: Settings) -> None:
        """Start it, and wait for its first batch."""
        self._told, theirs = multiprocessing.Pipe()
        self._process = multiprocessing.Process(target=load, args=(settings, theirs))
        self._process.start()
        theirs.close()
        self._told.recv()

    def since(self, began: float) -> tuple[float, float]:
        """Return the rows a second since *began*, and the seconds of the longest batch."""
        seconds = time.monotonic() - began
        took = []
        while self._told.poll():
            took.append(self._told.recv())
        return len(took) * 2 * _MESSAGES / seconds, max(took, default=0.0)

    def stop(self) -> None:
        """End it."""
        self._told.send(None)
        with suppress(EOFError, ConnectionResetError):  # what it has told till then is read, lest it waits for that
            while True:
                self._told.recv()
        self._process.join()


def main() -> None:
    """Measure and print."""
    options = arguments(
        __doc__ or "",
        rows=(600_000, "deliveries that are in the tables before"),
        seconds=(15, "of the phases in which nothing else happens"),
    )
    figures = Figures(options)
    now = datetime.now(UTC)
    with folder() as path, EmbeddedDatabase(path / "database", Settings()) as database:
        settings = Settings(database=database.settings)
        migrating.migrate(settings)
        fill(database.settings, options.rows, figures.say)
        loader = Loader(settings)
        loader.since(time.monotonic())
        began = time.monotonic()
        time.sleep(options.seconds)
        plain, longest = loader.since(began)
        figures.add("sink alone", plain, "rows/s")
        figures.add("its longest batch", longest * 1000, "ms")

        began = time.monotonic()
        renamed = pseudonymise(settings, now.date() - timedelta(days=DAYS // 2), lambda line: None)  # noqa: ARG005
        seconds = time.monotonic() - began
        rate, longest = loader.since(began)
        figures.add("sink while rows are pseudonymised", rate, "rows/s", ("the sink alone", plain))
        figures.add("its longest batch then", longest * 1000, "ms")
        figures.add("pseudonymised meanwhile", sum(table.rows for table in renamed) / seconds, "rows/s")

        began = time.monotonic()
        time.sleep(options.seconds)
        rate, _ = loader.since(began)
        figures.add("sink alone, with old days pseudonymised", rate, "rows/s", ("the sink alone", plain))

        began = time.monotonic()
        before = cutoffs(RetentionSettings(), timedelta(days=1), now)
        gone = purge(settings, before, lambda line: None)  # noqa: ARG005
        seconds = time.monotonic() - began
        rate, longest = loader.since(began)
        figures.add("sink while days are dropped", rate, "rows/s", ("the sink alone", plain))
        figures.add("its longest batch then", longest * 1000, "ms")
        figures.add("partitions dropped", sum(len(table.days) for table in gone), f"in {seconds:.1f} s")
        loader.stop()
    figures.close()


if __name__ == "__main__":
    main()
