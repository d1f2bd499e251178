"""A picture as lines of text, for panels and for plain output. What a log says is made harmless."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final, Literal

from rich.text import Text

from journal_postfix.rendering.characters import cut_end, cut_middle, padded, plain
from journal_postfix.rendering.line_counts import ago
from journal_postfix.top.picture import PartitionLag, Picture
from schemas.timestamps import MICROSECONDS
from web.searches.deferring import Deferral

Order = Literal["deliveries", "domain", "reason"]

_FULL: Final = 8
_BLOCKS: Final = " ▏▎▍▌▋▊▉█"
_LITTLE: Final = 100
"""So many waiting records fill no bar: they are there at any moment."""
_MUCH: Final = 1000
"""Waiting records of a partition that are worth a colour."""
_LATE_SECONDS: Final = 600
_LABEL: Final = 10
_COUNT: Final = 7
_WIDE: Final = 100


def figure_lines(picture: Picture, width: int) -> list[Text]:
    """Return the three lines of what goes through."""
    lines = picture.lines_per_second
    total = _speed(None if lines is None else sum(lines.values()))
    head = Text.assemble(
        ("lines/s".ljust(_LABEL), "dim"), (total.rjust(_COUNT), "bold cyan"),
        ("   messages/s ", "dim"), (_speed(picture.messages_per_second).rjust(_COUNT), "bold cyan"),
        ("   rows/s ", "dim"), (_speed(picture.rows_per_second).rjust(_COUNT), "bold cyan"),
    )  # fmt: skip
    classes = "  ".join(
        f"{plain(name)} {_speed(speed)}" for name, speed in _by_speed(lines or {}) if speed > 0 or name == "parsed"
    )
    state = Text.assemble(
        ("in flight".ljust(_LABEL), "dim"), (_number(picture.in_flight).rjust(_COUNT), "bold cyan"),
        ("   unparsed ", "dim"), (_number(picture.unparsed).rjust(_COUNT + 2), "yellow" if picture.unparsed else ""),
        ("   dead letters ", "dim"), (_number(picture.dead_letters), "bold red" if picture.dead_letters else ""),
    )  # fmt: skip
    return [_fit(line, width) for line in (head, Text("of these".ljust(_LABEL) + "  " + classes, "dim"), state)]


def lag_lines(picture: Picture, width: int, height: int) -> list[Text]:
    """Return the lags by partition, the worst first where not all have room."""
    if picture.kafka is not None:
        return wrapped(f"Kafka: {picture.kafka}", width, height)
    head = Text("partition   stream     sink", "dim")
    if picture.database is not None:
        head = Text("partition   stream  (the sink's place is in PostgreSQL)", "dim")
    shown, hidden = _most(picture.lags, height - 1)
    largest = max(_LITTLE, *(_waiting(lag) for lag in picture.lags)) if picture.lags else _LITTLE
    lines = [head]
    for lag in shown:
        waiting = _waiting(lag)
        style = "green" if waiting < _LITTLE else "yellow" if waiting < _MUCH else "red"
        line = Text(f"{lag.partition:>9}{_short(lag.stream):>9}{_short(lag.sink):>9}  ", style)
        line.append(_bar(waiting, largest, max(0, width - 29)), style)
        lines.append(line)
    if hidden:
        stream, sink = (sum(getattr(lag, side) or 0 for lag in picture.lags) for side in ("stream", "sink"))
        lines.append(Text(f"{'all ' + str(len(picture.lags)):>9}{_short(stream):>9}{_short(sink):>9}", "bold"))
    return [_fit(line, width) for line in lines[:height]]


def middle_height(picture: Picture, most: int) -> int:
    """Return how many lines the panels of lags and hosts need, *most* at most."""
    return max(2, min(most, max(len(picture.lags) + 1, len(picture.hosts))))


def host_lines(picture: Picture, width: int, height: int) -> list[Text]:
    """Return when each host was heard last, the longest silent first."""
    if picture.kafka is not None:
        return wrapped("Hosts are known from Kafka.", width, height)
    if not picture.hosts:
        return [Text("no line was read yet", "dim")]
    hosts = [*picture.hosts.items()]
    room = height if len(hosts) <= height else height - 1
    lines = []
    for name, time in hosts[:room]:
        seconds = picture.at.timestamp() - time / MICROSECONDS
        age = ago(seconds)
        host = cut_middle(plain(name), max(4, width - len(age) - 2))
        line = Text(padded(host, max(0, width - len(age))))
        line.append(age, "yellow" if seconds > _LATE_SECONDS else "green")
        lines.append(_fit(line, width))
    if len(hosts) > room:
        lines.append(Text(f"and {len(hosts) - room} more", "dim"))
    return lines[:height]


def deferring_lines(picture: Picture, width: int, height: int, order: Order) -> list[Text]:
    """Return what is deferred, by recipient domain and reason."""
    if picture.deferring is None:
        return wrapped(f"PostgreSQL: {picture.database}", width, height)
    if not picture.deferring:
        return [Text("nothing is deferred", "green")]
    domains = min(32, max(14, width // 4))
    reasons = 18 if width >= _WIDE else 14
    head = Text()
    columns = (("deliveries", "COUNT", -_COUNT), ("domain", "DOMAIN", domains), ("reason", "REASON", reasons))
    for column, name, cells in (*columns, ("", "LAST", len("18:31:00")), ("", "REPLY", 0)):
        pad = " " * max(0, abs(cells) - len(name))
        head.append(pad if cells < 0 else "")
        head.append(name, "bold underline" if column == order else "bold")
        head.append(("" if cells < 0 else pad) + "  ")
    lines = [head]
    for deferral in ordered(picture.deferring, order)[: max(0, height - 1)]:
        line = Text()
        line.append(_short(deferral.deliveries).rjust(_COUNT) + "  ", "yellow")
        domain = cut_middle(plain(deferral.domain) or "(none)", domains)
        line.append(padded(domain, domains) + "  ", "bold")
        line.append(padded(cut_end(plain(deferral.reason) or "?", reasons), reasons) + "  ", "magenta")
        line.append(_clock(deferral.last_attempt_at, picture.at).ljust(8) + "  ", "dim")
        line.append(plain(_said(deferral.reply)))
        lines.append(line)
    return [_fit(line, width) for line in lines[:height]]


def plain_lines(picture: Picture, width: int, order: Order) -> Iterator[Text]:
    """Yield the whole picture, for a terminal that only prints, or a pipe."""
    yield from figure_lines(picture, width)
    sections = (
        ("Lag: records that wait", lag_lines(picture, width, 1000)),
        ("Hosts: the latest line", host_lines(picture, min(width, 60), 1000)),
        ("Deferred", deferring_lines(picture, width, 51, order)),
    )
    for title, lines in sections:
        yield Text()
        yield Text(title, "bold")
        yield from lines


def ordered(deferrals: Sequence[Deferral], order: Order) -> list[Deferral]:
    """Return them by domain or reason, or those with most deliveries first."""
    if order == "domain":
        return sorted(deferrals, key=lambda d: (d.domain.split(".")[::-1], d.reason))
    if order == "reason":
        return sorted(deferrals, key=lambda d: (d.reason, -d.deliveries, d.domain))
    return sorted(deferrals, key=lambda d: (-d.deliveries, d.domain, d.reason))


def wrapped(text: str, width: int, height: int) -> list[Text]:
    """Return *text* in lines, as many as fit."""
    lines: list[str] = [""]
    for word in plain(text).split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append("")
        lines[-1] = cut_end(f"{lines[-1]} {word}".strip(), width)
    return [Text(line, "yellow") for line in lines[:height]]


def _said(reply: str) -> str:
    """Return what matters of a reply where there is little room: what the other side said, not which host it was."""
    host, said, words = " ".join(reply.split()).partition(" said: ")
    return words if said and host.startswith("host ") else f"{host}{said}{words}"


def _fit(line: Text, width: int) -> Text:
    line.no_wrap = True
    line.truncate(width, overflow="ellipsis")
    return line


def _by_speed(lines: dict[str, float]) -> list[tuple[str, float]]:
    return sorted(lines.items(), key=lambda item: (item[0] != "parsed", item[0] != "unparsed", -item[1], item[0]))


def _waiting(lag: PartitionLag) -> int:
    return (lag.stream or 0) + (lag.sink or 0)


def _most(lags: Sequence[PartitionLag], room: int) -> tuple[list[PartitionLag], int]:
    if len(lags) <= room:
        return list(lags), 0
    worst = sorted(lags, key=lambda lag: (-_waiting(lag), lag.partition))[: max(0, room - 1)]
    return sorted(worst, key=lambda lag: lag.partition), len(lags) - len(worst)


def _bar(value: int, largest: int, width: int) -> str:
    if width <= 0:
        return ""
    eighths = max(1, round(value / largest * width * _FULL)) if value else 0
    return "█" * (eighths // _FULL) + _BLOCKS[eighths % _FULL].strip()


def _speed(value: float | None) -> str:
    if value is None:
        return "…"
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.1f}"  # noqa: PLR2004 - two digits


def _number(value: int | None) -> str:
    return "…" if value is None else f"{value:,}"


def _short(value: int | None) -> str:
    """Return the number in at most six characters."""
    if value is None:
        return "?"
    for unit, name in ((10**9, "G"), (10**6, "M")):
        if value >= unit:
            return f"{value / unit:.1f}{name}"
    return f"{value:,}"


def _clock(moment: datetime, now: datetime) -> str:
    local = moment.astimezone()
    return f"{local:%H:%M:%S}" if local.date() == now.astimezone().date() else f"{local:%m-%d}"
