"""What a run says of itself: while it reads, and at its end."""

from collections.abc import Callable
from typing import NamedTuple

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


OnProgress = Callable[[Progress], None]
