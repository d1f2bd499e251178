"""How fast lines are parsed, and merged into rows, by one core; each beside one regular expression over the lines.

python bench/parse.py [--lines N]
"""

import gc
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime

from figures import Figures, arguments
from logs import lines

from producers.batching import Batching
from producers.clock import Clock
from producers.intake import Intake
from producers.origins import Origins
from producers.relevance import Relevance
from schemas.keys import QUEUE_ID
from schemas.raw import RawBatch, StreamPosition
from schemas.settings import Settings
from schemas.topics import topics_of
from streams.parsing import parse
from streams.state import PartitionState

PARTITIONS = 8
ROUNDS = 5
CHECKPOINT_EVERY = 25

_one = re.compile(rf"(?:({QUEUE_ID}): )?(?:to=<([^>]*)>.* status=(\S+)|(.*))").match


def batches_of(log: bytes, settings: Settings) -> list[tuple[int, RawBatch]]:
    """Return the batches that a producer makes of *log*, with their partitions."""
    made: list[tuple[int, RawBatch]] = []
    batching = Batching(
        settings.producer,
        PARTITIONS,
        lambda bucket: made.append(
            (
                bucket.partition,
                RawBatch(host=bucket.host, source="s", position=StreamPosition(), lines=[*bucket.lines]),
            )
        ),
    )
    intake = Intake(
        clock=Clock(UTC, now=datetime.now(UTC)),
        batching=batching,
        origins=Origins(batching, Relevance(settings.producer.programs), "mx1"),
        longest=settings.producer.max_line_bytes,
        bury=lambda line, offset: None,  # noqa: ARG005
    )
    intake.take(log)
    batching.close_all()
    return made


def fastest(work: Callable[[], object]) -> float:
    """Return the least CPU seconds that *work* took."""
    seconds = []
    for _ in range(ROUNDS):
        began = time.process_time()
        work()
        seconds.append(time.process_time() - began)
    return min(seconds)


def main() -> None:
    """Measure and print."""
    options = arguments(__doc__ or "", seed=(1, "seed of the log"), lines=(100_000, "lines of the log"))
    figures = Figures(options)
    settings = Settings()
    topics = topics_of(settings.kafka, settings.stream)
    log = "".join(f"{line}\n" for line in lines(options.lines, options.seed)).encode()
    batches = batches_of(log, settings)
    texts = [(line.program, line.text.decode(), line.pid) for _, batch in batches for line in batch.lines]
    gc.freeze()
    gc.set_threshold(50_000, 50, 1000)  # as the stage has it

    def merge() -> None:
        states = [PartitionState(number, topics, settings.stream) for number in range(PARTITIONS)]
        for count, (number, batch) in enumerate(batches, 1):
            states[number].merge(batch)
            if count % CHECKPOINT_EVERY == 0:
                for state in states:
                    state.checkpoint()

    one = len(texts) / fastest(lambda: [_one(text) for _, text, _ in texts])
    figures.add("one regular expression", one, "lines/s")
    yardstick = ("that expression", one)
    figures.add("parse", len(texts) / fastest(lambda: [parse(*line) for line in texts]), "lines/s", yardstick)
    figures.add("parse, merge and encode rows", len(texts) / fastest(merge), "lines/s", yardstick)
    figures.close()


if __name__ == "__main__":
    main()
