"""What the stream stage says of itself: how far each partition was read and what its lines were. JSON, compacted.

A record of ``postfix.progress`` is part of the transaction that writes the outputs it counts, so the sums are exact
whatever was killed in between.
"""

import msgspec

from schemas.errors import UNREADABLE, BadRecordError

VERSION = 1
MAX_SAMPLES = 5
MAX_SAMPLE_LENGTH = 300


class UnknownLines(msgspec.Struct, kw_only=True):
    """Lines of one daemon that the parser doesn't know."""

    count: int = 0
    samples: list[str] = []
    """The first few of them, cut."""


class Progress(msgspec.Struct, kw_only=True):
    """Value of ``postfix.progress`` (key: the partition): counts since the partition's first record."""

    version: int = VERSION
    partition: int
    next_offset: int = 0
    """Offset in ``postfix.raw`` of the first record not read yet."""
    topic_id: str = ""
    """Kafka's id of the topic that was read; empty where it gives none."""
    hosts: dict[str, int] = {}
    """Latest time of a line by host, microseconds since 1970: who has fallen silent, and the clock of its messages.

    In the order in which they were last heard of; who was silent for longest goes where the names become too many."""
    unheard: int = 0
    """How many of `hosts`, the first ones, were not heard of since silent ones were last looked for."""
    batches: int = 0
    lines: int = 0
    """Lines in decoded batches: the sum of parsed, ignored and unparsed."""
    parsed: int = 0
    unparsed: int = 0
    ignored: dict[str, int] = {}
    """Known lines that bear no message's fate, by class."""
    dead_letters: int = 0
    """Records that were not a batch."""
    in_flight: int = 0
    """Queue ids with an unfinished message."""
    letters_in_a_row: int = 0
    """How many of them came last, with no batch after them."""
    unknown: dict[str, UnknownLines] = {}
    """The unparsed lines by daemon; the samples of all of them are bounded, too."""


_decode = msgspec.json.Decoder(Progress).decode


def decode_progress(value: bytes) -> Progress:
    """Read a value of ``postfix.progress``. Raises BadRecordError."""
    try:
        progress = _decode(value)
    except UNREADABLE as error:
        raise BadRecordError(f"not a progress record: {error}") from error
    if progress.version > VERSION:
        raise BadRecordError(f"progress version {progress.version} is newer than {VERSION}")
    return progress
