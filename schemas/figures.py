"""What a stage tells of itself while it runs: figures, read when somebody asks for them."""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple


class Figure(NamedTuple):
    """One value of one metric, under the names that docs/operations.md lists."""

    name: str
    """Without ``journal_postfix_``, e.g. ``stream_lines_total``."""
    value: float
    labels: Mapping[str, str] = {}


Figures = Callable[[], Iterable[Figure]]
"""Gives the figures of now; called from another thread than the stage's."""

Watch = Callable[[Figures], None]
"""Takes the figures of a stage when it begins to work."""


def unwatched(_: Figures) -> None:
    """Nobody asks."""
