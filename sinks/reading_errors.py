"""Errors of reading that do not pass by themselves: a right that was taken, a topic that was deleted or made anew."""

import time
from dataclasses import dataclass
from typing import Final

from confluent_kafka import KafkaError

from schemas.errors import ConfigurationError, TryAgainLaterError

Partition = tuple[str, int]

_LASTING: Final = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001 - librdkafka's names
        KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001
    }
)
_MOST_SECONDS: Final = 120.0
"""How long one may last: rights and topics are changed in steps, and brokers hear of it one by one."""


@dataclass
class _Lasting:
    since: float
    why: str
    looked_at: bool = False
    """Whether reading began anew since, to see whether it still is so."""


class LastingErrors:
    """Those that there are now, by topic; the group's has none. librdkafka tells of each once, and tries on."""

    def __init__(self) -> None:
        """There is none."""
        self._errors: dict[str | None, _Lasting] = {}

    def note(self, topic: str | None, error: KafkaError) -> None:
        """Note an error of a topic, or of the group."""
        if error.code() in _LASTING:
            self._errors.setdefault(topic, _Lasting(time.monotonic(), error.str()))

    def well(self, topic: str) -> None:
        """Note that a topic is read: a record came, or the end of a partition."""
        if self._errors:
            self._errors.pop(topic, None)

    def assigned(self) -> None:
        """Note that the group gave this sink partitions: it is well, whatever the topics are."""
        self._errors.pop(None, None)

    def check(self) -> bool:
        """Return whether to begin to read anew, amid the time: a topic without news, which is well, says so only then.

        Raises TryAgainLaterError where an error has lasted for too long: to be silent about it helps nobody.
        """
        now, anew = time.monotonic(), False
        for topic, lasting in self._errors.items():
            if now - lasting.since > _MOST_SECONDS:
                what = "the group is refused" if topic is None else f"{topic} can't be read"
                raise TryAgainLaterError(
                    f"{what} for {_MOST_SECONDS:.0f} s ({lasting.why}): starting afresh. `journal-postfix check` says "
                    "which rights or topics are missing"
                )
            if topic is not None and not lasting.looked_at and now - lasting.since > _MOST_SECONDS / 2:
                lasting.looked_at = anew = True
        return anew


def position_lost(partition: Partition, position: int | None, why: str) -> ConfigurationError:
    """Return the error for a position that the broker lost: going on elsewhere would pass over rows silently."""
    return ConfigurationError(
        f"{partition[0]}[{partition[1]}] was written up to offset {position}, but {why}: the topic was made anew, "
        "or its retention passed rows that were never written. Bring the topic back, or delete the row of this "
        "partition from sink_positions to begin with what is there (rows merge into those in the database)"
    )
