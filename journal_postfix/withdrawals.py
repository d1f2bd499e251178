"""Rows that the stream stage took back after they were refused: to store them now would bring them back.

It does so where a message's arrival turns out to be another: its rows come again under that one, and a record without
a value takes the place of the old one.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from journal_postfix.broker import TIMEOUT, brokers_named, quiet_config
from journal_postfix.dead_letters import Letter
from schemas.errors import TryAgainLaterError
from schemas.settings import Settings
from schemas.topics import Topics
from schemas.watermarks import watermarks

_AT_ONCE: Final = 5_000
_GLANCE_SECONDS: Final = 0.1

_Place = tuple[str, int]


def withdrawn(settings: Settings, topics: Topics, letters: Sequence[Letter]) -> set[int]:
    """Return the numbers of those of *letters*, refused by the sink, whose row was taken back later.

    Reads the output topics from the first of them on. Raises TryAgainLaterError and ConfigurationError.
    """
    compacted = {topics.delivery_from.name, topics.delivery_to.name}
    refused: dict[_Place, dict[bytes, list[Letter]]] = {}
    starts: dict[_Place, int] = {}
    for letter in letters:
        found = letter.letter
        if found.topic in compacted and found.key and found.partition is not None and found.offset is not None:
            place = (found.topic, found.partition)
            refused.setdefault(place, {}).setdefault(found.key, []).append(letter)
            starts[place] = min(found.offset, starts.get(place, found.offset))
    return {
        letter.number
        for place, key, offset in _tombstones(settings, starts)
        for letter in refused[place].get(key, ())
        if offset > (letter.letter.offset or 0)
    }


def _tombstones(settings: Settings, starts: Mapping[_Place, int]) -> Iterator[tuple[_Place, bytes, int]]:
    """Yield partition, key and offset of the records without a value from *starts* to the present ends."""
    if not starts:
        return
    config = {
        "group.id": "journal-postfix-unused",
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
        "enable.partition.eof": True,
    }
    consumer = Consumer(quiet_config(settings, "journal-postfix-retry") | config)
    try:
        # Where there is no pause in what is written, no end is ever told.
        ends = {place: watermarks(consumer, *place, TIMEOUT)[1] for place in starts}
        consumer.assign([TopicPartition(*place, offset) for place, offset in starts.items()])
        heard = time.monotonic()
        while ends:
            records: list[Any] = consumer.consume(_AT_ONCE, _GLANCE_SECONDS)
            if records:
                heard = time.monotonic()
            elif time.monotonic() - heard > TIMEOUT:
                raise TryAgainLaterError(f"{brokers_named(settings)} gives no records of {min(ends)[0]}")
            for record in records:
                place = (record.topic(), record.partition())
                if _is_record(record, settings) and record.value() is None:
                    yield place, record.key() or b"", record.offset()
                if record.error() is not None or record.offset() + 1 >= ends.get(place, 0):
                    ends.pop(place, None)
    except KafkaException as error:
        raise TryAgainLaterError(f"{brokers_named(settings)}: {error.args[0].str()}") from None
    finally:
        consumer.close()


def _is_record(message: Message, settings: Settings) -> bool:
    """Tell a record from the end of a partition. Raises TryAgainLaterError for anything else."""
    error = message.error()
    if error is not None and error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 - the library's public name
        raise TryAgainLaterError(f"{brokers_named(settings)}: cannot read {message.topic()}: {error.str()}")
    return error is None
