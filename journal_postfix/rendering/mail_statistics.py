"""The statistics of the mail for people: sums with a course over time, then who causes trouble."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Final

from rich.text import Text

from journal_postfix.mail_statistics import MailStatistics
from journal_postfix.rendering.characters import cut_end, plain
from journal_postfix.rendering.table import Column, Row, table_lines
from web.searches.statistics import Delays, Moment

_NAME: Final = 12
_NUMBER: Final = 13
_BARS: Final = "▁▂▃▄▅▆▇█"
_UNITS: Final = ("B", "kB", "MB", "GB", "TB", "PB")
_THOUSAND: Final = 1000
_STYLES: Final = {"bounced": "red", "expired": "red", "deferred": "yellow", "held": "yellow", "refused": "magenta"}
_WORD: Final = 24
"""Cells of a text that is not the first of its row."""
_IN_SERIES: Final = ("sent", "deferred", "bounced")


def statistics_lines(found: MailStatistics, width: int) -> Iterator[Text]:
    """Yield the statistics as lines of at most *width* cells."""
    yield Text(cut_end(_title(found), width), "bold")
    yield from _sums(found, width)
    yield Text(cut_end(_delays(found.totals.delays), width))
    if not found.totals.exact:
        yield Text(cut_end("Expired, deleted and held are messages: there are too many to count recipients.", width))
    if len(found.hosts) > 1:
        yield from _section("MAIL HOSTS", _HOSTS, _hosts(found), width)
    everywhere = "" if found.host is None else " OF ALL HOSTS"
    yield from _section(f"FAILING DESTINATIONS{everywhere}", _FAILING, _failing(found), width)
    yield from _section(f"SLOW DESTINATIONS{everywhere} (over a minute)", _SLOW, _slow(found), width)
    yield from _section("REFUSED, WHY", _REASONS, _reasons(found), width)
    yield from _section(f"REFUSED CLIENTS{everywhere}", _CLIENTS, _clients(found), width)


def sparkline(numbers: Sequence[int], width: int) -> str:
    """Return the course of *numbers* in at most *width* cells: neighbours are added where there are more numbers."""
    if not numbers or width < 1:
        return ""
    cells = min(width, len(numbers))
    edges = [len(numbers) * cell // cells for cell in range(cells + 1)]
    sums = [sum(numbers[a:b]) / (b - a) for a, b in pairwise(edges)]
    most = max(sums)
    return "".join(" " if not n else _BARS[min(len(_BARS) - 1, int(n / most * len(_BARS)))] for n in sums)


def size_text(number: int) -> str:
    """Return a number of bytes with the unit that makes it short."""
    amount = float(number)
    for unit in _UNITS[:-1]:
        if amount < _THOUSAND:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= _THOUSAND
    return f"{amount:,.1f} {_UNITS[-1]}"


def _title(found: MailStatistics) -> str:
    host = f" on {plain(found.host)}" if found.host is not None else ""
    return f"Mail{host} that arrived from {_moment(found.since)} to {_moment(found.until)}"


def _moment(at: datetime) -> str:
    return at.astimezone().strftime("%Y-%m-%d %H:%M")


def _sums(found: MailStatistics, width: int) -> Iterator[Text]:
    totals = found.totals
    deliveries = sum(totals.deliveries.values())
    yield _sum("messages", totals.messages, size_text(totals.bytes), [m.messages for m in found.series], width)
    for status, number in sorted(totals.deliveries.items(), key=lambda item: -item[1]):
        yield _sum(status, number, f"{number / deliveries:.1%}", _course(found.series, status), width)
    yield _sum("refused", totals.refused, "", [moment.refused for moment in found.series], width)


def _course(series: Sequence[Moment], status: str) -> list[int]:
    return [getattr(moment, status) for moment in series] if status in _IN_SERIES else []


def _sum(name: str, number: int, share: str, course: Sequence[int], width: int) -> Text:
    start = f"{cut_end(plain(name), _NAME):<{_NAME}}{number:>{_NUMBER},}  {share:>9}  "
    return Text(cut_end((start + sparkline(course, width - len(start))).rstrip(), width), _STYLES.get(name, ""))


def _delays(delays: Delays) -> str:
    if not delays.counted or delays.mean is None:
        return "No delay is known of what was sent."
    # Rounded down: 100% are all.
    shares = ", ".join(f"{within} {100 * number // delays.counted}%" for within, number in delays.within.items())
    return f"Sent in {_seconds(delays.mean)} on average; {shares}"


def _seconds(seconds: float) -> str:
    for unit, name in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{seconds / unit:.1f} {name}"
    return f"{seconds:.1f} s"


def _section(title: str, columns: Sequence[Column], rows: Iterable[Row], width: int) -> Iterator[Text]:
    shown = list(rows)
    if shown:
        yield Text()
        first, *others = columns
        yield from table_lines([Column(title, first.least, elastic=first.elastic), *others], shown, width)


def _row(*cells: str | int, below: str = "") -> Row:
    first, *others = (f"{cell:,}" if isinstance(cell, int) else plain(cell) for cell in cells)
    texts = (first, *(cut_end(text, _WORD) for text in others))
    return Row(texts, ("",) * len(texts), plain(" ".join(below.split())))


def _numbers(*names: str) -> list[Column]:
    return [Column(name, len(name), right=True) for name in names]


_HOSTS: Final = [Column("", 12, elastic=True), *_numbers("MESSAGES", "SIZE", "SENT", "DEFERRED", "BOUNCED", "REFUSED")]
_FAILING: Final = [Column("", 16, elastic=True), *_numbers("DEFERRED", "BOUNCED"), Column("LAST REASON", 12)]
_SLOW: Final = [Column("", 16, elastic=True), *_numbers("DELIVERIES", "ON AVERAGE")]
_REASONS: Final = [Column("", 16, elastic=True), Column("ACTION", 8), *_numbers("TIMES")]
_CLIENTS: Final = [Column("", 16, elastic=True), Column("NAME", 16, elastic=True), *_numbers("TIMES")]


def _hosts(found: MailStatistics) -> Iterator[Row]:
    for one in found.hosts:
        yield _row(one.host, one.messages, size_text(one.bytes), one.sent, one.deferred, one.bounced, one.refused)


def _failing(found: MailStatistics) -> Iterator[Row]:
    for one in found.failing_domains:
        name = one.domain or "(no domain)"
        yield _row(name, one.deferred, one.bounced, one.reason or one.status or "", below=one.reply or "")


def _slow(found: MailStatistics) -> Iterator[Row]:
    for one in found.slow_domains:
        yield _row(one.domain or "(no domain)", one.slow, _seconds(one.mean))


def _reasons(found: MailStatistics) -> Iterator[Row]:
    for one in found.reject_reasons:
        yield _row(one.reason or "(not known)", one.action, one.count)


def _clients(found: MailStatistics) -> Iterator[Row]:
    for one in found.refused_clients:
        yield _row(one.client_address, one.client_name or "", one.count)
