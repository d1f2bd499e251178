"""What the stream stage made of the lines that it read: the sums over its partitions."""

from contextlib import closing

import msgspec

from journal_postfix.broker import missing, reach
from journal_postfix.tail import Tail
from schemas.progress import MAX_SAMPLES, Progress, UnknownLines, decode_progress
from schemas.settings import Settings
from schemas.topics import topics_of


class LineCounts(msgspec.Struct, kw_only=True):
    """Lines by what became of them: `lines` is the sum of `parsed`, `ignored` and `unparsed`."""

    lines: int = 0
    parsed: int = 0
    ignored: dict[str, int] = {}
    """Known lines that tell no message's fate, by class; the most first."""
    unparsed: int = 0
    unknown: dict[str, UnknownLines] = {}
    """The unparsed lines by daemon, with samples; the most first."""
    dead_letters: int = 0
    """Records that were not a batch of lines."""
    hosts: dict[str, int] = {}
    """Time of the latest line by host, microseconds since 1970; the longest silent first."""


def read_counts(settings: Settings) -> LineCounts:
    """Return the counts as they are committed now. Raises ConfigurationError and TryAgainLaterError."""
    topic = topics_of(settings.kafka, settings.stream).progress.name
    if topic not in reach(settings)[1].topics:
        raise missing(topic)
    with closing(Tail(settings, topic)) as tail:
        latest = dict(tail.news())
    return summed([decode_progress(value) for value in latest.values()])


def summed(partitions: list[Progress]) -> LineCounts:
    """Return the sums over all partitions."""
    counts = LineCounts()
    for progress in partitions:
        counts.lines += progress.lines
        counts.parsed += progress.parsed
        counts.unparsed += progress.unparsed
        counts.dead_letters += progress.dead_letters
        for name, number in progress.ignored.items():
            counts.ignored[name] = counts.ignored.get(name, 0) + number
        for daemon, lines in progress.unknown.items():
            known = counts.unknown.setdefault(daemon, UnknownLines())
            known.count += lines.count
            known.samples = [*dict.fromkeys([*known.samples, *lines.samples])][:MAX_SAMPLES]
        for host, time in progress.hosts.items():
            counts.hosts[host] = max(time, counts.hosts.get(host, 0))
    counts.ignored = dict(sorted(counts.ignored.items(), key=lambda item: (-item[1], item[0])))
    counts.unknown = dict(sorted(counts.unknown.items(), key=lambda item: (-item[1].count, item[0])))
    counts.hosts = dict(sorted(counts.hosts.items(), key=lambda item: (item[1], item[0])))
    return counts
