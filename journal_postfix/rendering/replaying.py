"""What a replay shows: how far it is, what it came to, what two sets of tables tell differently."""

import time
from collections.abc import Iterator
from typing import Any, Final

from rich.text import Text

from journal_postfix.everything import Tell
from journal_postfix.rendering.characters import plain
from journal_postfix.rendering.reading import ReadingBar
from journal_postfix.replaying.running import Outcome, Standing
from journal_postfix.supervision.reports import Reading
from sinks.comparing import Compared, Difference

_TELL_SECONDS: Final = 10.0
_MOST_CHARACTERS: Final = 60


class Standings:
    """Shows how far a replay is: a bar on a terminal, else a line now and then."""

    def __init__(self, bar: ReadingBar | None, tell: Tell) -> None:
        """Show it with *bar*, or through *tell* where there is none."""
        self._bar = bar
        self._tell = tell
        self._told = time.monotonic()

    def show(self, standing: Standing) -> None:
        """Show *standing*, if it is time."""
        if self._bar is not None:
            self._bar.show("replay", Reading(standing.lines, standing.records, standing.total))
            return
        if (now := time.monotonic()) - self._told < _TELL_SECONDS:
            return
        self._told = now
        seconds_left = standing.seconds * (standing.total - standing.records) / max(standing.records, 1)
        self._tell(
            f"{standing.records:,} of {standing.total:,} records, {standing.lines:,} lines, "
            f"{standing.lines / max(standing.seconds, 0.001):,.0f} lines/s, about {seconds_left:,.0f} s left"
        )


def outcome_lines(outcome: Outcome) -> Iterator[str]:
    """Yield what a replay came to: lines are parsed, ignored or unparsed; a record that is no batch is dead."""
    counts = outcome.counts
    rate = counts.lines / outcome.seconds if outcome.seconds else 0.0
    for name, figure, remark in (
        ("records", counts.records, ""),
        ("dead letters", counts.dead_letters, "of the records: no batch of lines"),
        ("lines", counts.lines, ""),
        ("parsed", counts.parsed, "of the lines"),
        ("ignored", counts.ignored, "of the lines: known, tell no mail's fate"),
        ("unparsed", counts.unparsed, "of the lines"),
        ("rows merged", counts.rows, ""),
        ("too old", counts.expired, "rows left out: retention.*_days"),
        ("refused", counts.refused, "rows that PostgreSQL does not take"),
    ):
        yield f"{name:<14} {figure:>14,}  {remark}".rstrip()
    yield f"{'seconds':<14} {outcome.seconds:>14,.1f}"
    yield f"{'lines/s':<14} {rate:>14,.0f}"


def comparison_lines(found: list[Compared | Difference]) -> Iterator[Text]:
    """Yield the counts of all tables, then what differs by column, then the examples."""
    tables = [each for each in found if isinstance(each, Compared)]
    columns = ("TABLE", "EQUAL", "DIFFERENT", "ONLY LIVE", "ONLY REPLAYED", "PARTS")
    yield Text("{:<14} {:>12} {:>12} {:>12} {:>14} {:>9}".format(*columns), "bold")
    for table in tables:
        yield Text(
            f"{table.table:<14} {table.equal:>12,} {table.different:>12,} {table.only_live:>12,} "
            f"{table.only_replayed:>14,} {table.parts:>9,}"
        )
    for table in tables:
        for column, count in sorted(table.columns.items(), key=lambda pair: (-pair[1], pair[0])):
            yield Text(f"  {table.table}.{column}: {count:,} rows differ")
    for each in found:
        if isinstance(each, Difference):
            yield Text(f"{each.kind}: {each.table} {plain(' '.join(each.key.values()))}", "bold")
            for column, (live, replayed) in each.columns.items():
                yield Text(f"  {column}: {_shown(live)} → {_shown(replayed)}")


def _shown(value: Any) -> str:
    text = "(none)" if value is None else plain(str(value))
    return text if len(text) <= _MOST_CHARACTERS else f"{text[: _MOST_CHARACTERS - 1]}…"
