"""The replay: lines a second of one process, from Kafka into tables, first empty ones and then those that it filled.

    python bench/replay.py [--lines N] [--partitions N]

The third run reads as a newer version of the parser does: each row has to be compared with what the older one read.
"""

import threading
from datetime import UTC, datetime, timedelta
from typing import Final

from figures import Figures, arguments
from running import folder, kafka, produce, write_log

from journal_postfix.local import EmbeddedDatabase
from journal_postfix.replaying import targets
from schemas.settings import Settings
from sinks import migrating
from streams import messages, outputs, shortcuts, state
from streams.parsing import PARSER

_SINCE: Final = datetime.now(UTC) - timedelta(days=1)
"""By when lines came to Kafka, whatever time they tell."""


def replayed(settings: Settings) -> float:
    """Replay all that is there; return the lines a second."""
    outcome = targets.in_place(settings, _SINCE, None, threading.Event(), lambda _: None)
    return outcome.counts.lines / outcome.seconds


def main() -> None:
    """Measure and print."""
    options = arguments(__doc__ or "", lines=(460_000, "lines of the log"), partitions=(8, "partitions of the topics"))
    figures = Figures(options)
    with folder() as path, kafka(path, options.partitions) as given:
        write_log(path / "mail.log", options.lines)
        produce(given, path / "mail.log")
        database = EmbeddedDatabase(path / "database", Settings())
        database.start()
        keep = given.retention.model_copy(
            update=dict.fromkeys(("deliveries_days", "rejects_days", "tls_sessions_days"), 0)
        )
        settings = given.model_copy(update={"database": database.settings, "retention": keep})
        migrating.migrate(settings)
        figures.add("replay into empty tables", replayed(settings), "lines/s")
        figures.add("replay once more", replayed(settings), "lines/s")
        for module in (messages, outputs, shortcuts, state):
            module.PARSER = PARSER + 1  # type: ignore[misc]
        figures.add("replay by a newer parser", replayed(settings), "lines/s")
        database.stop()
    figures.close()


if __name__ == "__main__":
    main()
