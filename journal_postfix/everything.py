"""``up``: the embedded parts, the topics, the tables, and all stages under one supervisor."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import msgspec
from rich.console import Console
from rich.text import Text

from journal_postfix import topics
from journal_postfix.daily_purge import DailyPurge
from journal_postfix.failures import INTERRUPTED, OK
from journal_postfix.inputs import Inputs, stages_of
from journal_postfix.interrupts import Interruption, interruptible
from journal_postfix.local import LocalStack
from journal_postfix.readiness import readiness
from journal_postfix.rendering.reading import ReadingBar
from journal_postfix.supervision.embedded import Embedded
from journal_postfix.supervision.reports import Read, Reading, from_line
from journal_postfix.supervision.supervisor import BackOff, Supervisor
from schemas.settings import Settings
from sinks import migrating

Tell = Callable[[str], None]


class Reports:
    """The latest that each producer said of itself. Written by the stages' reading threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reading: dict[str, Reading] = {}
        self._read: dict[str, Read] = {}

    def take(self, stage: str, line: str) -> None:
        """Take a line of a stage's stdout."""
        report = from_line(line)
        with self._lock:
            if isinstance(report, Reading):
                self._reading[stage] = report
            elif isinstance(report, Read):
                self._read[stage] = report

    def reading(self) -> dict[str, Reading]:
        """Return how far each producer is."""
        with self._lock:
            return dict(self._reading)

    def read(self) -> dict[str, Read]:
        """Return what each finished producer has done."""
        with self._lock:
            return dict(self._read)


class Prepared(msgspec.Struct, frozen=True):
    """What the stages need is there: broker, database, topics, tables."""

    settings: Settings
    """Complete: with the addresses of the embedded parts."""
    embedded: Embedded


class Pipeline(msgspec.Struct, frozen=True):
    """A pipeline that runs."""

    supervisor: Supervisor
    embedded: Embedded
    reports: Reports
    interruption: Interruption
    producers: tuple[str, ...]
    """Names of the producing stages."""

    def look_after(self) -> None:
        """Start again what died. Raises JournalPostfixError where that can't help."""
        self.embedded.check()
        self.supervisor.step()

    def producers_finished(self) -> bool:
        """Tell whether every producer has read its input to the end."""
        return all(self.supervisor.finished(name) for name in self.producers)


def console_of_messages() -> Console:
    """Return the console for what people should know while we work: stderr."""
    return Console(stderr=True, highlight=False)


def teller(console: Console) -> Tell:
    """Return what prints a line for people."""
    return lambda line: console.print(Text(line), soft_wrap=True)


def where(given: Settings, complete: Settings) -> str:
    """Return one line that says which broker and which database are used."""
    broker = complete.kafka.bootstrap_servers
    if given.kafka.bootstrap_servers is None:
        broker = f"embedded, {broker}"
    database = complete.database
    server = f"{database.host}:{database.port}/{database.dbname}"
    if given.database.host is None:
        server = f"embedded, {server}, data in {complete.data_dir}"
    return f"Kafka: {broker}. PostgreSQL: {server}."


@contextmanager
def prepared(settings: Settings, tell: Tell) -> Iterator[Prepared]:
    """Start the embedded parts and make topics and tables."""
    with LocalStack(settings) as stack:
        complete = stack.settings
        tell(where(settings, complete))
        for change in topics.make(complete):
            if change.action == "too few":
                tell(
                    f"topic {change.topic.name} has {change.partitions} partitions, not {change.topic.partitions}: "
                    "see `journal-postfix topics --help`"
                )
        migrating.migrate(complete)
        yield Prepared(complete, Embedded(settings, complete))


@contextmanager
def supervised(
    ready: Prepared, inputs: Inputs, tell: Tell, interruption: Interruption, *, once: bool
) -> Iterator[Pipeline]:
    """Run the stages; yield the pipeline and stop it at the end."""
    stages = stages_of(ready.settings, inputs, follow=not once)
    reports = Reports()
    supervisor = Supervisor(
        stages,
        ready.settings.data_dir / "log",
        tell=tell,
        on_warning=lambda stage, text: tell(f"{stage}: {text}"),
        on_report=reports.take,
        back_off=BackOff(tries=8) if once else BackOff(),
    )
    interruption.on_first, interruption.on_second = supervisor.wake, supervisor.hurry.set
    with supervisor:
        producing = tuple(stage.name for stage in stages if stage.name.startswith("produce-"))
        yield Pipeline(supervisor, ready.embedded, reports, interruption, producing)


_LOOK_SECONDS: Final = 1.0


def run(settings: Settings, inputs: Inputs) -> int:
    """Run all stages until a signal; return the exit code. Raises JournalPostfixError."""
    console = console_of_messages()
    tell = teller(console)
    with (
        readiness() as told,
        interruptible() as interruption,
        prepared(settings, tell) as ready,
        ReadingBar(console, shown=console.is_terminal) as bars,
        supervised(ready, inputs, tell, interruption, once=False) as pipeline,
    ):
        tell(f"Reading {inputs.described()}; Ctrl-C stops. Elsewhere: journal-postfix deliveries")
        daily = DailyPurge(ready.settings, tell) if settings.database.host is None else None
        while not interruption.stop.is_set():
            pipeline.look_after()
            if daily is not None:
                daily.step()
            told.ready()
            bars.show_all(pipeline.reports.reading())
            pipeline.supervisor.wait(_LOOK_SECONDS)
        told.stopping()
        tell("Stopping…")
    return INTERRUPTED if interruption.exit_code() == INTERRUPTED else OK
