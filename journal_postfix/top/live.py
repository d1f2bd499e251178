"""The live view: panels that fill the terminal, drawn anew with every look."""

import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import ClassVar, Final

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.widgets import Static

from journal_postfix.top.drawing import Order, deferring_lines, figure_lines, host_lines, lag_lines, middle_height
from journal_postfix.top.picture import DatabaseLook, KafkaLook, Looks, Picture
from journal_postfix.top.sides import Side
from schemas.errors import JournalPostfixError

INTERVALS: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
_HELP: Final = " q quit   p pause   +/- interval   d by domain   r by reason"

_BORDER: Final = 2

Draw = Callable[[Picture, int, int], list[Text]]


class Panel(Static):
    """A part of the picture, as large as the terminal lets it be."""

    def __init__(self, name: str, title: str, draw: Draw) -> None:
        super().__init__(id=name)
        self.border_title = title
        self._draw = draw

    def show(self, picture: Picture) -> None:
        """Draw it."""
        width, height = self.content_size.width, self.content_size.height
        self.update(Text("\n", no_wrap=True).join(self._draw(picture, width, height)))


class Top(App[None]):
    """Looks at each side in a thread of its own, so that one that does not answer holds nothing up."""

    ENABLE_COMMAND_PALETTE = False
    TITLE = "journal-postfix top"
    CSS = """
    Screen { layout: vertical; background: ansi_default; }
    #head { height: 1; padding: 0 1; text-style: bold; }
    #help { height: 1; dock: bottom; text-style: dim; }
    Panel { border: round $primary; border-title-style: bold; padding: 0 1; background: ansi_default; }
    #figures { height: 5; }
    #middle { height: 7; }
    #lag { width: 3fr; height: 100%; }
    #hosts { width: 2fr; height: 100%; }
    #deferring { height: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        ("q", "quit"), ("p", "pause"), ("plus,equals_sign", "slower"), ("minus", "faster"),
        ("d", "order('domain')"), ("r", "order('reason')"),
    ]  # fmt: skip

    def __init__(self, sides: Sequence[Side], where: str, interval: float, hours: float) -> None:
        """Look at *sides* every *interval* seconds; *where* names them, *hours* is how far back they look."""
        super().__init__(ansi_color=True)
        self._sides, self._where, self.interval = sides, where, interval
        self._looks = Looks({side.name for side in sides})
        self._stop, self._woken = threading.Event(), [threading.Event() for _ in sides]
        self.paused = False
        self.order: Order = "deliveries"
        self._panels = (
            Panel("figures", "Throughput", lambda picture, width, _: figure_lines(picture, width)),
            Panel("lag", "Lag: records that wait", lag_lines),
            Panel("hosts", "Hosts: the latest line", host_lines),
            Panel("deferring", f"Deferred, of the last {hours:g} h", self._deferring),
        )

    def compose(self) -> ComposeResult:
        """Place the panels."""
        figures, lag, hosts, deferred = self._panels
        yield Static(id="head", markup=False)
        yield figures
        yield Horizontal(lag, hosts, id="middle")
        yield deferred
        yield Static(_HELP, id="help", markup=False)

    def on_mount(self) -> None:
        """Begin to look."""
        for side, woken in zip(self._sides, self._woken, strict=True):
            threading.Thread(target=self._watch, args=(side, woken), name=f"top-{side.name}", daemon=True).start()
        self.set_interval(1, self.draw)

    def on_resize(self) -> None:
        """Draw for the new size."""
        self.call_after_refresh(self.draw)

    def on_unmount(self) -> None:
        """Look no more."""
        self._stop.set()
        for woken in self._woken:
            woken.set()

    def draw(self) -> None:
        """Show the latest looks."""
        if self.paused or not self.query("#head"):  # at its end the panels go before the looks do
            return
        picture = self._looks.picture(datetime.now(UTC))
        height = middle_height(picture, self.size.height // 4) + _BORDER
        middle = self.query_one("#middle")
        if middle.size.height != height:
            middle.styles.height = height
            self.call_after_refresh(self.draw)
        for panel in self._panels:
            panel.show(picture)
        self._show_head(picture)

    def action_pause(self) -> None:
        """Keep the picture as it is, or go on."""
        self.paused = not self.paused
        self._show_head(self._looks.picture(datetime.now(UTC)))
        self.draw()

    def action_slower(self) -> None:
        """Look less often."""
        self._set_interval(next((i for i in INTERVALS if i > self.interval), self.interval))

    def action_faster(self) -> None:
        """Look more often."""
        self._set_interval(next((i for i in reversed(INTERVALS) if i < self.interval), self.interval))

    def action_order(self, order: Order) -> None:
        """Order what is deferred by *order*, or by its number again."""
        self.order = "deliveries" if self.order == order else order
        self.draw()

    def _deferring(self, picture: Picture, width: int, height: int) -> list[Text]:
        return deferring_lines(picture, width, height, self.order)

    def _set_interval(self, seconds: float) -> None:
        self.interval = seconds
        for woken in self._woken:
            woken.set()
        self._show_head(self._looks.picture(datetime.now(UTC)))

    def _show_head(self, picture: Picture) -> None:
        head = Text("journal-postfix top", "bold", no_wrap=True)
        head.append(f"  {self._where}", "not bold dim")
        clock = Text(f"every {self.interval:g} s  {picture.at.astimezone():%H:%M:%S}", "not bold")
        if self.paused:
            clock = Text("paused", "bold reverse yellow")
        width = self.size.width - 2
        head.truncate(max(0, width - len(clock) - 2), overflow="ellipsis", pad=True)
        self.query_one("#head", Static).update(Text.assemble(head, "  ", clock))

    def _watch(self, side: Side, woken: threading.Event) -> None:
        while not self._stop.is_set():
            woken.clear()
            if not self.paused:
                try:
                    taken: KafkaLook | DatabaseLook | str = side.look()
                except JournalPostfixError as error:
                    taken = str(error)
                if self._stop.is_set():
                    return
                try:
                    self.call_from_thread(self._take, side.name, taken)
                except RuntimeError:  # it has ended meanwhile
                    return
            woken.wait(self.interval)

    def _take(self, side: str, taken: KafkaLook | DatabaseLook | str) -> None:
        if isinstance(taken, str):
            self._looks.lose(side, taken)
        else:
            self._looks.take(taken)
        self.draw()
