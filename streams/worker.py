"""The process of the stream stage: checks what it needs, runs the Faust app until it is told to stop."""

import gc
import logging
import os
import shutil
import sys
import tempfile

import structlog
import uvloop
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from schemas.errors import ConfigurationError, TryAgainLaterError
from schemas.kafka import client_config
from schemas.settings import Settings
from schemas.topics import Topics, topics_of
from streams.app import StreamApp

log = structlog.get_logger()

_ANSWER_SECONDS = 15

_QUIETER = {
    "aiokafka": logging.WARNING,
    "faust": logging.WARNING,
    "mode": logging.WARNING,
    "mode.timers": logging.ERROR,  # a busy machine is late now and then
}

FAILED = 1
WRONG_SETTINGS = 2


def run(settings: Settings) -> int:
    """Run the stage in this process until SIGTERM or SIGINT; return its exit code.

    Raises TryAgainLaterError where the broker does not answer, ConfigurationError where its topics are not as needed.
    Ends the process at once where going on could lose data (fenced, a checkpoint failed): nothing uncommitted counts.
    """
    topics = topics_of(settings.kafka, settings.stream)
    partitions = _partitions_of(settings, topics)
    for name, level in _QUIETER.items():
        logging.getLogger(name).setLevel(logging.DEBUG if settings.log_level == "debug" else level)
    # The states are msgspec structs outside the collector's view, in dicts of their own. What remains to be collected
    # is little, and looking through a million messages for it would stop the world.
    gc.freeze()
    gc.set_threshold(50_000, 50, 1000)
    with tempfile.TemporaryDirectory(prefix="journal-postfix-stream-") as datadir:
        app = StreamApp(settings, topics, partitions, datadir)
        app.table.failed = lambda error: _end(error, datadir)
        worker = app.faust.Worker(
            loop=uvloop.new_event_loop(), quiet=True, loglevel="WARNING", override_logging=False, redirect_stdouts=False
        )
        worker.spinner = None
        log.info("stream stage starts", application=settings.stream.application, partitions=partitions)
        try:
            worker.execute_from_commandline()
        except SystemExit as ended:
            return ended.code if isinstance(ended.code, int) else FAILED


def _end(error: BaseException, datadir: str) -> None:
    """End the process: its state is ahead of what is committed, and another may own its partitions."""
    wrong = isinstance(error, ConfigurationError)
    log.error("stream stage ends", why=str(error), kind=type(error).__name__)
    shutil.rmtree(datadir, ignore_errors=True)
    sys.stderr.flush()
    os._exit(WRONG_SETTINGS if wrong else FAILED)


def _partitions_of(settings: Settings, topics: Topics) -> int:
    """Return the number of partitions of the stage's topics, which must agree."""
    try:
        admin = AdminClient(client_config(settings.kafka, settings.stream.application))
        found = admin.list_topics(timeout=_ANSWER_SECONDS).topics
    except KafkaException as error:
        raise TryAgainLaterError(
            f"no answer from Kafka at {settings.kafka.bootstrap_servers}: {error.args[0].str()}; is it running there?"
        ) from error
    missing = [topic.name for topic in topics.all() if topic.name not in found]
    if missing:
        raise ConfigurationError(f"missing topics: {', '.join(missing)}; make them with `journal-postfix topics`")
    keyed = (topics.raw, topics.delivery_from, topics.delivery_to, topics.noqueue, topics.changelog)
    counts = {topic.name: len(found[topic.name].partitions) for topic in keyed}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise ConfigurationError(f"topics need the same number of partitions, but have: {listed}")
    return counts[topics.raw.name]
