"""Which Kafka it is, as far as it tells: brokers don't say their version, but which requests they know."""

import logging
import re
from collections.abc import Mapping
from typing import Final

import msgspec
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from journal_postfix.broker import TIMEOUT, quiet_config
from schemas.settings import Settings

OLDEST: Final = "2.3"
"""The first that has all requests that are made: IncrementalAlterConfigs, and rights in the answer to Metadata."""

_INCREMENTAL_ALTER_CONFIGS: Final = 44
_PRODUCE, _FETCH, _LIST_OFFSETS = 0, 1, 2
_SINCE: Final = (
    ("4.1", _PRODUCE, 13),
    ("4.0", _PRODUCE, 12),
    ("3.8", _PRODUCE, 11),
    ("3.7", _PRODUCE, 10),
    ("3.5", _FETCH, 15),
    ("3.1", _FETCH, 13),
    ("3.0", _LIST_OFFSETS, 7),
    ("2.7", _FETCH, 12),
    (OLDEST, _INCREMENTAL_ALTER_CONFIGS, 0),
)
"""Which version brought which version of a request (its key in the protocol); newest first."""

_TOLD = re.compile(r"ApiKey \S+ \((\d+)\) Versions \d+\.\.(\d+)")


class _Listener(logging.Handler):
    """Keeps what librdkafka says of the broker's requests."""

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[int, int] = {}

    def emit(self, record: logging.LogRecord) -> None:
        if found := _TOLD.search(record.getMessage()):
            self.known[int(found[1])] = int(found[2])


def requests_known(settings: Settings) -> Mapping[int, int]:
    """Return the newest version of each request that the broker knows; empty where the client does not tell."""
    # librdkafka asks the broker and has no function that returns the answer: its debug log has it.
    listener = _Listener()
    log = logging.Logger("of this question", logging.DEBUG)  # noqa: LOG001 - nobody else is to hear it
    log.addHandler(listener)
    try:
        admin = AdminClient(quiet_config(settings, "journal-postfix-check") | {"logger": log, "debug": "feature"})
        admin.list_topics(timeout=TIMEOUT)
        admin.poll(0)
    except KafkaException:
        return {}
    return listener.known


class Spoken(msgspec.Struct, frozen=True):
    """What is known of a broker's version."""

    at_least: str | None
    """Such as 4.1; None where it is not known, or before OLDEST."""
    too_old: bool = False


def version(known: Mapping[int, int]) -> Spoken:
    """Return the version that has what is *known*, as `requests_known` returns it."""
    for name, request, newest in _SINCE:
        if known.get(request, -1) >= newest:
            return Spoken(name)
    return Spoken(None, too_old=bool(known))
