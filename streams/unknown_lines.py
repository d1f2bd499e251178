"""The lines that the parser does not know, counted by daemon, with a few samples of each: bounded, whatever comes."""

from typing import Final

import msgspec

from schemas.progress import MAX_SAMPLE_LENGTH, MAX_SAMPLES, Progress, UnknownLines
from streams.parsing.formats import split_program

MOST_BYTES: Final = 160 * 1024
"""Of all samples in the record of progress, which has other things to tell within what a topic takes."""
_MOST_DAEMONS: Final = 100
_LONGEST_NAME: Final = 64


class Unknown:
    """Counts unknown lines in a partition's progress."""

    def __init__(self, progress: Progress) -> None:
        """Go on from what *progress* has; it is kept up to date."""
        self._progress = progress
        self._size = sum(_size(sample) for unknown in progress.unknown.values() for sample in unknown.samples)

    def count(self, program: str, text: str) -> None:
        """Count a line."""
        progress = self._progress
        progress.unparsed += 1
        daemon = split_program(program)[2][:_LONGEST_NAME]
        if daemon not in progress.unknown and len(progress.unknown) >= _MOST_DAEMONS:
            daemon = "(others)"
        unknown = progress.unknown.setdefault(daemon, UnknownLines())
        unknown.count += 1
        if len(unknown.samples) < MAX_SAMPLES:
            sample = text[:MAX_SAMPLE_LENGTH]
            if self._size + _size(sample) <= MOST_BYTES:
                self._size += _size(sample)
                unknown.samples.append(sample)


def _size(sample: str) -> int:
    return len(msgspec.json.encode(sample)) + 1
