"""Where partitions begin and end, by Kafka's word."""

import time
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from schemas.errors import TryAgainLaterError

_ELECTING: Final = frozenset(
    {KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE, KafkaError.UNKNOWN_TOPIC_OR_PART}
)
"""What is said of a partition without a leader, which has one in a moment, or of a topic that is just made."""
_LOOK_AGAIN: Final = 0.1


def watermarks(consumer: Consumer, topic: str, partition: int, seconds: float) -> tuple[int, int]:
    """Return the offset of a partition's first record, and the one that its next will have.

    A *consumer* of uncommitted reads is told the latter with what open transactions have written. While Kafka elects a
    leader it is asked again, for that many *seconds*. Raises TryAgainLaterError.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=seconds)
        except KafkaException as exception:
            error = exception.args[0]
            if error.code() not in _ELECTING or time.monotonic() > deadline:
                raise TryAgainLaterError(
                    f"Kafka does not say where {topic}[{partition}] ends: {error.str()}; is it well?"
                ) from None
            time.sleep(_LOOK_AGAIN)
        else:
            return low, high
