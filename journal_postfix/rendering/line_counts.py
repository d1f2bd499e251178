"""The counts of lines for people."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from rich.text import Text

from journal_postfix.line_counts import LineCounts
from journal_postfix.rendering.characters import cut_end, plain
from schemas.timestamps import MICROSECONDS

_NAME: Final = 20
_NUMBER: Final = 14
_MOST_HOSTS: Final = 20


def count_lines(counts: LineCounts, width: int, now: datetime) -> Iterator[Text]:
    """Yield the counts as lines of at most *width* cells: sums, classes, unknown lines, hosts."""
    yield _row("lines", counts.lines, counts.lines, width, "bold")
    yield _row("parsed", counts.parsed, counts.lines, width)
    yield _row("ignored", sum(counts.ignored.values()), counts.lines, width)
    for name, number in counts.ignored.items():
        yield _row(f"  {name}", number, counts.lines, width, "dim")
    yield _row("unparsed", counts.unparsed, counts.lines, width, "yellow" if counts.unparsed else "")
    for daemon, lines in counts.unknown.items():
        yield _row(f"  {plain(daemon) or '(no program)'}", lines.count, counts.lines, width, "yellow")
        for sample in lines.samples:
            yield Text("    " + cut_end(plain(sample), width - 4), "dim")
    if counts.dead_letters:
        yield _row("dead-lettered", counts.dead_letters, 0, width, "red")
    if counts.hosts:
        yield Text()
        yield Text(f"{'HOST':<{_NAME + _NUMBER}}  LATEST LINE", "bold")
    for host, time in [*counts.hosts.items()][:_MOST_HOSTS]:
        moment = datetime.fromtimestamp(time / MICROSECONDS, UTC).astimezone()
        name = cut_end(plain(host), _NAME + _NUMBER)
        line = f"{name:<{_NAME + _NUMBER}}  {moment:%Y-%m-%d %H:%M:%S}  {ago((now - moment).total_seconds())}"
        yield Text(cut_end(line, width))
    if len(counts.hosts) > _MOST_HOSTS:
        yield Text(f"and {len(counts.hosts) - _MOST_HOSTS} more hosts: --format json", "dim")


def _row(name: str, number: int, whole: int, width: int, style: str = "") -> Text:
    share = f"  {number / whole:6.1%}" if whole else ""
    return Text(cut_end(f"{cut_end(name, _NAME):<{_NAME}}{number:>{_NUMBER},}{share}", width), style)


def ago(age: float) -> str:
    """Return an age in seconds as people say it."""
    seconds = int(age)
    if seconds < 0:
        return "in the future"
    for unit, name in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{seconds // unit} {name} ago"
    return f"{seconds} s ago"
