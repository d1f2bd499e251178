"""The process of the stream stage: checks what it needs, runs the Faust app until it is told to stop."""

import logging
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from signal import SIG_IGN, SIGHUP, SIGINT, SIGTERM, Signals, getsignal, signal

import faust
import structlog
import uvloop
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from schemas.errors import ConfigurationError, JournalPostfixError, TryAgainLaterError
from schemas.figures import Watch, unwatched
from schemas.interpreter import collect_rarely
from schemas.kafka import client_config
from schemas.kafka_refusals import Complaints, metadata, missing_topics
from schemas.settings import Settings
from schemas.topics import Topics, topics_of
from streams.app import StreamApp
from streams.transactions import LIBRDKAFKA

log = structlog.get_logger()

_ANSWER_SECONDS = 15
_STOP_SECONDS = 18
_ALIVE_SECONDS = 1.0

_QUIETER = {
    "aiokafka": logging.WARNING,
    "faust": logging.WARNING,
    "mode": logging.WARNING,
    "mode.timers": logging.ERROR,  # a busy machine is late now and then
    LIBRDKAFKA.name: logging.CRITICAL + 1,  # what it says on the way to an error is in the error
}

FAILED = 1
WRONG_SETTINGS = 2


def run(settings: Settings, alive: Callable[[], None] | None = None, watch: Watch = unwatched) -> int:
    """Run the stage in this process until SIGTERM, SIGINT or SIGHUP; return its exit code.

    *alive* is called every second from when it works, as long as its event loop turns; *watch* gets its figures.

    Raises TryAgainLaterError where the broker does not answer, ConfigurationError where its topics are not as needed.
    Ends the process at once where going on could lose data (fenced, a checkpoint failed): nothing uncommitted counts.
    """
    with tempfile.TemporaryDirectory(prefix="journal-postfix-stream-") as datadir, _stops_before_the_loop(datadir):
        return _run(settings, alive, watch, datadir)


def _run(settings: Settings, alive: Callable[[], None] | None, watch: Watch, datadir: str) -> int:
    topics = topics_of(settings.kafka, settings.stream)
    for name, level in _QUIETER.items():
        logging.getLogger(name).setLevel(logging.DEBUG if settings.log_level == "debug" else level)
    logging.getLogger("aiokafka.conn").setLevel(logging.WARNING)  # below that it tells every request, with passwords
    partitions = _partitions_of(settings, topics)
    # The topics' own number, whatever the settings say: rows go by it to partitions of their keys.
    topics = topics_of(settings.kafka.model_copy(update={"partitions": partitions}), settings.stream)
    collect_rarely()
    app = StreamApp(settings, topics, partitions, datadir)
    app.table.failed = lambda error: _end(error, datadir)
    watch(app.figures)
    if alive is not None:
        app.faust.timer(interval=_ALIVE_SECONDS)(_calling(alive))
    worker = _Worker(
        app.faust,
        loop=uvloop.new_event_loop(),
        quiet=True,
        loglevel="WARNING",
        override_logging=False,
        redirect_stdouts=False,
    )
    worker.spinner = None
    worker.datadir = datadir
    log.info("stream stage starts", application=settings.stream.application, partitions=partitions)
    try:
        worker.execute_from_commandline()
    except SystemExit as ended:
        if ended.code == 0:
            return 0
        reason = ended.__context__  # Faust turns every exception into an exit, and says nothing
        log.exception("stream stage ends", why=str(reason), kind=type(reason).__name__, exc_info=reason)
        return FAILED


def _calling(alive: Callable[[], None]) -> Callable[[], Awaitable[None]]:
    async def tell() -> None:
        alive()

    return tell


def _of_the_terminal() -> tuple[Signals, ...]:
    """Return SIGHUP, which a terminal that is closed sends, unless nohup has said not to mind it."""
    return (SIGHUP,) if getsignal(SIGHUP) != SIG_IGN else ()


@contextmanager
def _stops_before_the_loop(datadir: str) -> Iterator[None]:
    """Take what ends a stage for a clean end until Faust's loop listens to it itself.

    Faust that was about to start may wait for what it has not started: not for ever.
    """
    with ExitStack() as stack:

        def stop(*_: object) -> None:
            stack.callback(_ends_soon(datadir).cancel)
            sys.exit(0)

        for number in (SIGTERM, SIGINT, *_of_the_terminal()):
            stack.callback(signal, number, signal(number, stop))
        yield


def _ends_soon(datadir: str) -> threading.Timer:
    """End the process in _STOP_SECONDS, unless the timer that this returns is cancelled."""
    error = StopTooSlowError(f"did not stop in {_STOP_SECONDS} s; nothing is lost")
    timer = threading.Timer(_STOP_SECONDS, _end, (error, datadir))
    timer.daemon = True
    timer.start()
    return timer


class StopTooSlowError(JournalPostfixError):
    """The stage was told to stop and something that it waits for does not come."""


class _Worker(faust.Worker):
    datadir: str

    def _schedule_shutdown(self, signal: Signals) -> None:
        if not self._signal_stop_time:
            _ends_soon(self.datadir)
        super()._schedule_shutdown(signal)

    def install_signal_handlers(self) -> None:
        """Listen to a terminal that is closed (SIGHUP), too, as the other stages do."""
        super().install_signal_handlers()
        for number in _of_the_terminal():
            self.loop.add_signal_handler(number, self._on_sigterm)

    async def _sentinel_task(self) -> None:
        """End at once: when this is asked for, all tasks have ended, and Faust would sleep for a second."""

    def _enter_debugger(self) -> None:
        """Do nothing: Faust's answer to SIGUSR2 would wait for somebody at a terminal."""


def _end(error: BaseException, datadir: str) -> None:
    """End the process: its state is ahead of what is committed, and another may own its partitions."""
    wrong = isinstance(error, ConfigurationError)
    unforeseen = None if isinstance(error, JournalPostfixError) else error
    log.error("stream stage ends", why=str(error), kind=type(error).__name__, exc_info=unforeseen)
    shutil.rmtree(datadir, ignore_errors=True)
    sys.stderr.flush()
    os._exit(WRONG_SETTINGS if wrong else FAILED)


def _partitions_of(settings: Settings, topics: Topics) -> int:
    """Return the number of partitions of the stage's topics, which must agree."""
    complaints = Complaints(settings.kafka)
    config = {**client_config(settings.kafka, settings.stream.application), "error_cb": complaints}
    try:
        admin = AdminClient(config, logger=LIBRDKAFKA)
    except KafkaException as error:
        raise ConfigurationError(f"Kafka's client refuses the kafka settings: {error.args[0].str()}") from error
    try:
        found = metadata(admin, complaints, _ANSWER_SECONDS).topics
    except KafkaException as error:
        raise TryAgainLaterError(
            f"no answer from Kafka at {settings.kafka.bootstrap_servers}: {complaints.reason(error.args[0])}; is it "
            "running there, and is kafka.security_protocol right?"
        ) from error
    missing = [topic.name for topic in topics.all() if topic.name not in found]
    if missing:
        raise missing_topics(client_config(settings.kafka, settings.stream.application), missing, _ANSWER_SECONDS)
    keyed = (topics.raw, *topics.outputs(), topics.changelog)
    counts = {topic.name: len(found[topic.name].partitions) for topic in keyed}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise ConfigurationError(f"topics need the same number of partitions, but have: {listed}")
    return counts[topics.raw.name]
