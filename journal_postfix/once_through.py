"""``up --once``: until the input's last line is in PostgreSQL, and what that came to."""

import time
from collections.abc import Callable
from typing import Final

import msgspec
from rich.console import Console
from rich.text import Text

from journal_postfix.everything import Pipeline, Prepared, Tell, console_of_messages, prepared, supervised, teller
from journal_postfix.failures import OK
from journal_postfix.inputs import Inputs
from journal_postfix.interrupts import Interruption, interruptible
from journal_postfix.rendering.reading import ReadingBar
from journal_postfix.supervision.watching import Lines, Offsets, Stored, Watch, behind, total
from schemas.errors import TryAgainLaterError
from schemas.progress import Progress
from schemas.settings import Settings

_LOOK_SECONDS: Final = 0.25
_TELL_SECONDS: Final = 60.0


class Processed(msgspec.Struct, frozen=True):
    """What the stream has made of lines, over all partitions."""

    lines: int = 0
    parsed: int = 0
    ignored: int = 0
    unparsed: int = 0
    dead: int = 0

    @classmethod
    def of(cls, progress: list[Progress]) -> "Processed":
        """Add up what the stream says of its partitions."""
        return cls(
            lines=sum(p.lines for p in progress),
            parsed=sum(p.parsed for p in progress),
            ignored=sum(sum(p.ignored.values()) for p in progress),
            unparsed=sum(p.unparsed for p in progress),
            dead=sum(p.dead_letters for p in progress),
        )

    def since(self, before: "Processed") -> "Processed":
        """Return what came after *before*."""
        return Processed(*(getattr(self, f) - getattr(before, f) for f in self.__struct_fields__))


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a run has done. Lines are of this run; rows are those that it added, and all there are."""

    read: Lines
    """What the producers read."""
    processed: Processed
    """What the stream made of what it got."""
    added: Stored
    stored: Stored
    seconds: float

    @property
    def again(self) -> int:
        """Lines that the stream got besides: of earlier runs or other producers, or sent again after one died."""
        return self.processed.lines - self.read.sent

    def figures(self) -> list[tuple[str, str, str]]:
        """Return (name, figure, remark), in the order in which they are printed.

        Parsed, ignored, unparsed and dead-lettered are the sum of lines (and of those sent again).
        """
        lines, other_programs = self.read.lines, self.read.ignored
        rate = lines / self.seconds if self.seconds else 0.0
        rows = (
            ("messages", self.added.messages, self.stored.messages),
            ("deliveries", self.added.deliveries, self.stored.deliveries),
            ("attempts", self.added.attempts, self.stored.attempts),
            ("rejects", self.added.rejects, self.stored.rejects),
        )
        return [
            ("lines", str(lines), f"and {self.again} sent earlier or again" if self.again else ""),
            *((name, str(new), f"{all_} in all" if all_ != new else "") for name, new, all_ in rows),
            ("parsed", str(self.processed.parsed), ""),
            (
                "ignored",
                str(self.processed.ignored + other_programs),
                f"{other_programs} of other programs" if other_programs else "",
            ),
            ("unparsed", str(self.processed.unparsed), ""),
            ("dead-lettered", str(self.read.dead), ""),
            ("seconds", f"{self.seconds:.1f}", ""),
            ("lines/s", f"{rate:.0f}", ""),
        ]


def run(settings: Settings, inputs: Inputs) -> int:
    """Read *inputs* to their end, print the outcome, return the exit code. Raises JournalPostfixError."""
    messages = console_of_messages()
    tell = teller(messages)
    with interruptible() as interruption:
        with prepared(settings, tell) as ready:
            outcome = feed(ready, inputs, messages, interruption)
        if outcome is None:
            tell("Interrupted: what was read is kept, the same command goes on from there.")
            return interruption.exit_code()
    show(outcome, inputs)
    return OK


class _InterruptedError(Exception):
    """Asked to stop before the end."""


def feed(ready: Prepared, inputs: Inputs, messages: Console, interruption: Interruption) -> Outcome | None:
    """Run the stages until all of *inputs* is stored; None where *interruption* came first.

    Raises JournalPostfixError.
    """
    tell = teller(messages)
    with Watch(ready.settings) as watch:
        before, stored_before, sources_before = Processed.of(watch.progress()), watch.stored(), watch.sources()
        tell(f"Reading {inputs.described()}")
        started = time.monotonic()
        bars = ReadingBar(messages, shown=messages.is_terminal)
        try:
            with bars, supervised(ready, inputs, tell, interruption, once=True) as pipeline:
                _drain(_Wait(pipeline, watch, bars, tell))
                seconds = time.monotonic() - started
        except _InterruptedError:
            return None
        stored = watch.stored()
        return Outcome(
            processed=Processed.of(watch.progress()).since(before),
            read=_lines_read(pipeline, watch, sources_before),
            added=stored.since(stored_before),
            stored=stored,
            seconds=seconds,
        )


class _Wait:
    """Waits for a position while the stages are looked after and people are kept informed."""

    def __init__(self, pipeline: Pipeline, watch: Watch, bars: ReadingBar, tell: Tell) -> None:
        self._pipeline, self.watch, self._bars, self._tell = pipeline, watch, bars, tell
        self._told = time.monotonic()

    def until(self, name: str, left: Callable[[], int]) -> None:
        """Return when *left* says 0. Raises JournalPostfixError for a stage that can't go on."""
        total: int | None = None
        while True:
            if self._pipeline.interruption.stop.is_set():
                raise _InterruptedError
            self._pipeline.look_after()
            self._bars.show_all(self._pipeline.reports.reading())
            try:
                rest = left()
            except TryAgainLaterError as error:  # a stage that suffers from it too tells, or recovers as we do
                rest, trouble = -1, f" ({error})"
            else:
                trouble = ""
            if rest == 0:
                return
            total = max(rest, total or 0)
            if total > 1:
                self._bars.show_behind(name, total - max(rest, 0), total, f"{max(rest, 0):,} records left")
            if time.monotonic() - self._told > _TELL_SECONDS:
                self._told = time.monotonic()
                self._tell(f"waiting for {name}{trouble}")
            self._pipeline.supervisor.wait(_LOOK_SECONDS)

    def producers(self) -> int:
        """Return 0 when every producer has finished, else 1."""
        return 0 if self._pipeline.producers_finished() else 1


def _drain(wait: _Wait) -> None:
    wait.until("the input", wait.producers)
    watch = wait.watch
    raw_ends: Offsets = {}
    output_ends: Offsets = {}

    def stream_left() -> int:
        if not raw_ends:
            raw_ends.update(watch.raw_ends())
        return behind(watch.stream_positions(), raw_ends)

    def sink_left() -> int:
        if not output_ends:
            output_ends.update(watch.output_ends())
        return behind(watch.sink_positions(), output_ends)

    wait.until("stream", stream_left)
    wait.until("sink", sink_left)


def _lines_read(pipeline: Pipeline, watch: Watch, before: dict[str, Lines]) -> Lines:
    if not any(map(pipeline.supervisor.restarted, pipeline.producers)):
        reports = pipeline.reports.read().values()
        return total(Lines(lines=r.lines, ignored=r.ignored, dead=r.dead) for r in reports)
    # The last process of a producer knows only what it read itself; the positions know all.
    return total(after.since(before.get(source, Lines())) for source, after in watch.sources().items())


def show(outcome: Outcome, inputs: Inputs) -> None:
    """Print the outcome: name and figure, one a line."""
    console = Console(highlight=False)
    if outcome.read.lines == outcome.processed.lines == 0:
        console.print(Text(f"{inputs.described()}: already read; nothing new"), soft_wrap=True)
    for name, figure, remark in outcome.figures():
        line = Text(f"{name:<14}{figure:>12}")
        if remark:
            line.append(f"  {remark}", "dim")
        console.print(line)
