"""Progress on a terminal: how far each source is read, and how far the stages behind are."""

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from journal_postfix.supervision.reports import Reading


class ReadingBar:
    """Bars, one line each. A context manager; shows nothing unless *shown*."""

    def __init__(self, console: Console, *, shown: bool) -> None:
        self._progress = Progress(
            TextColumn("{task.description:<8}"),
            BarColumn(bar_width=None),
            TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.fields[what]:>24}"),
            TimeRemainingColumn(compact=True),
            console=console,
            transient=True,
            disable=not shown,
            expand=True,
        )
        self._tasks: dict[str, TaskID] = {}
        self._since: dict[str, float] = {}
        self._shown: dict[str, Reading] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, name: str, reading: Reading) -> None:
        """Show how far the source is, and how fast."""
        if self._shown.get(name) == reading:
            return  # what is read to its end doesn't get slower
        self._shown[name] = reading
        seconds = time.monotonic() - self._since.setdefault(name, time.monotonic())
        speed = f"{reading.lines / seconds:,.0f} lines/s" if seconds > 1 else f"{reading.lines:,} lines"
        self._set(name, reading.bytes_done, reading.bytes_total, speed)

    def show_all(self, readings: Mapping[str, Reading]) -> None:
        """Show how far each producing stage is."""
        for stage, reading in readings.items():
            self.show(stage.removeprefix("produce-"), reading)

    def show_behind(self, name: str, done: int, total: int, what: str) -> None:
        """Show how far a stage is behind what it should read: *done* of *total*."""
        self._set(name, done, total, what)

    def _set(self, name: str, done: int, total: int | None, what: str) -> None:
        task = self._tasks.get(name)
        if task is None:
            task = self._tasks[name] = self._progress.add_task(name, total=total, what=what)
        self._progress.update(task, completed=done, total=total, what=what)
