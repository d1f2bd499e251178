"""What a run says of itself: while it reads, and at its end."""

from collections.abc import Callable, Collection
from typing import NamedTuple

from producers.intake import Counts
from schemas.figures import Figures


class Progress(NamedTuple):
    """How far a run is."""

    lines: int
    """Lines read in this run."""
    bytes_done: int = 0
    """Of the files as they lie on the disk."""
    bytes_total: int | None = None
    """None where the end is not known."""
    figures: Figures = tuple
    """What there is to tell of the way to Kafka."""


class Summary(NamedTuple):
    """What a run has done: `lines` is the sum of `sent`, `ignored` and `dead`."""

    lines: int
    sent: int
    """Lines that went to Kafka."""
    ignored: int
    """Lines of other programs."""
    dead: int
    """Lines that were too long: dead letters."""
    skipped: int
    """Lines that earlier runs had read of the same sources."""
    seconds: float


def summary_of(sources: Collection[Counts], *, skipped: int, seconds: float) -> Summary:
    """Return what a run has done that read *sources*, after the *skipped* lines of earlier runs."""
    return Summary(
        lines=sum(counts.lines for counts in sources),
        sent=sum(counts.sent for counts in sources),
        ignored=sum(counts.ignored for counts in sources),
        dead=sum(counts.dead for counts in sources),
        skipped=skipped,
        seconds=seconds,
    )


OnProgress = Callable[[Progress], None]
