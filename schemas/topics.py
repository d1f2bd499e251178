"""The topics: names, partitions, retention, compaction. ``journal-postfix topics`` makes them so."""

from typing import Final

import msgspec

from schemas.settings import KafkaSettings, StreamSettings

MAX_VALUE_BYTES: Final = 512 * 1024
"""No value in any topic is larger."""

_SECOND: Final = 1000
_HOUR: Final = 3600 * _SECOND
_DAY: Final = 24 * _HOUR


class Topic(msgspec.Struct, frozen=True, kw_only=True):
    """One topic as it should be on the broker."""

    name: str
    partitions: int
    replication_factor: int
    config: dict[str, str]
    what: str
    """One line for ``topics --help`` and the docs."""


class Topics(msgspec.Struct, frozen=True, kw_only=True):
    """All topics of one installation."""

    raw: Topic
    positions: Topic
    delivery_from: Topic
    delivery_to: Topic
    noqueue: Topic
    tls_session: Topic
    dead_letter: Topic
    progress: Topic
    changelog: Topic

    def all(self) -> tuple[Topic, ...]:
        """Return every topic, in the order of the flow."""
        return tuple(getattr(self, field) for field in self.__struct_fields__)

    def outputs(self) -> tuple[Topic, ...]:
        """Return those that the stream stage writes rows to, and sinks read."""
        return self.delivery_from, self.delivery_to, self.noqueue, self.tls_session


def topics_of(kafka: KafkaSettings, stream: StreamSettings) -> Topics:
    """Return the topics that these settings ask for."""

    def topic(name: str, what: str, partitions: int, config: dict[str, str]) -> Topic:
        return Topic(
            name=name,
            partitions=partitions,
            replication_factor=kafka.replication_factor,
            config={"max.message.bytes": str(2 * MAX_VALUE_BYTES), "compression.type": "producer", **config},
            what=what,
        )

    raw_ms = {"retention.ms": str(kafka.raw_retention_days * _DAY)}
    output_ms = {"retention.ms": str(kafka.output_retention_days * _DAY)}
    compact_and_age = {"cleanup.policy": "compact,delete", "min.cleanable.dirty.ratio": "0.3", **output_ms}
    # Small segments and a low dirty ratio: the size of these follows what is alive, and so does the time to read them.
    compact_hard = {
        "cleanup.policy": "compact",
        "min.cleanable.dirty.ratio": "0.1",
        "segment.bytes": str(32 * 1024 * 1024),
        "segment.ms": str(10 * 60 * _SECOND),
        "delete.retention.ms": str(_HOUR),
    }
    prefix, many = kafka.topic_prefix, kafka.partitions
    return Topics(
        raw=topic(prefix + "raw", "batches of raw log lines", many, {"cleanup.policy": "delete", **raw_ms}),
        positions=topic(prefix + "positions", "how far each source was read", 1, compact_hard),
        delivery_from=topic(prefix + "delivery-from", "messages", many, compact_and_age),
        delivery_to=topic(prefix + "delivery-to", "messages by recipient", many, compact_and_age),
        noqueue=topic(
            prefix + "noqueue", "rejections before a queue id", many, {"cleanup.policy": "delete", **output_ms}
        ),
        tls_session=topic(
            prefix + "tls-session", "encryption of connections", many, {"cleanup.policy": "delete", **output_ms}
        ),
        dead_letter=topic(
            prefix + "dead-letter", "what could not be used", 1, {"cleanup.policy": "delete", **output_ms}
        ),
        progress=topic(prefix + "progress", "how far the stream stage is, and its counts", 1, compact_hard),
        changelog=topic(stream.changelog_topic, "state of unfinished messages", many, compact_hard),
    )
