"""Reach the broker and ask where its topics end, with errors that a person understands."""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from confluent_kafka import Consumer, KafkaException
from confluent_kafka.admin import AdminClient, ClusterMetadata

from journal_postfix.access import Work
from schemas.errors import ConfigurationError, TryAgainLaterError
from schemas.kafka import client_config, quiet
from schemas.kafka_refusals import Complaints, metadata
from schemas.settings import Settings
from schemas.watermarks import watermarks

TIMEOUT: Final = 10.0
"""Seconds to wait for a broker's answer."""


def brokers_named(settings: Settings) -> str:
    """Return how a message names the broker."""
    return f"Kafka at {settings.kafka.bootstrap_servers}"


def require_kafka(settings: Settings) -> None:
    """Raise ConfigurationError where no Kafka is configured."""
    if not settings.kafka.bootstrap_servers:
        raise ConfigurationError(
            "no Kafka is configured: set kafka.bootstrap_servers (--bootstrap-servers HOST:PORT), "
            "or let `journal-postfix up` start an embedded one"
        )


def quiet_config(settings: Settings, client_id: str) -> dict[str, Any]:
    """Return a client's configuration whose library doesn't write to stderr by itself. Raises ConfigurationError."""
    require_kafka(settings)
    return client_config(settings.kafka, client_id) | {"logger": quiet}


def reach(settings: Settings, timeout: float = TIMEOUT) -> tuple[AdminClient, ClusterMetadata]:
    """Return an admin client and the cluster's metadata. Raises TryAgainLaterError and ConfigurationError."""
    complaints = Complaints(settings.kafka)
    config = quiet_config(settings, "journal-postfix-admin")
    try:
        admin = AdminClient(config | {"error_cb": complaints})
    except KafkaException as error:
        raise ConfigurationError(f"wrong Kafka settings: {error.args[0].str()}") from None
    try:
        return admin, metadata(admin, complaints, timeout)
    except KafkaException as error:
        raise TryAgainLaterError(
            f"{brokers_named(settings)} does not answer: {complaints.reason(error.args[0])}. Is it running, and are "
            "kafka.bootstrap_servers and kafka.security_protocol right?"
        ) from None


def missing(topic: str) -> ConfigurationError:
    """Return the error for a *topic* that is not listed: it is not there, or not for this user's eyes."""
    return ConfigurationError(
        f"topic {topic} is missing: run `journal-postfix topics`, then start the stages. If it is there, this Kafka "
        "user may not see it: `journal-postfix acls operate` prints what lets it"
    )


def unreadable(topic: str, settings: Settings, work: Work) -> ConfigurationError:
    """Return the error for a *topic* that this user may not read, though its *work* needs it."""
    return ConfigurationError(
        f"this Kafka user may not read {topic} of {brokers_named(settings)}: `journal-postfix acls {work}` prints what "
        "lets it"
    )


class TopicEnds:
    """Asks where topics end."""

    def __init__(self, settings: Settings) -> None:
        self._consumer = Consumer(
            quiet_config(settings, "journal-postfix-ends")
            | {
                "group.id": "journal-postfix-unused",
                "enable.auto.commit": False,
                # A committed transaction whose markers are still on the way counts: its rows are not stored yet.
                "isolation.level": "read_uncommitted",
            }
        )
        self._settings = settings

    def high_watermarks(self, topics: Iterable[str]) -> dict[tuple[str, int], int]:
        """Return for each (topic, partition) the offset that its next record will have.

        Raises TryAgainLaterError where the broker doesn't answer, ConfigurationError where a topic is missing.
        """
        return {at: end for name in topics for at, end in self._ends_of(name)}

    def _ends_of(self, topic: str) -> Iterator[tuple[tuple[str, int], int]]:
        try:
            found = self._consumer.list_topics(topic, timeout=TIMEOUT).topics[topic]
        except KafkaException as error:
            raise TryAgainLaterError(f"{brokers_named(self._settings)}: {error.args[0].str()}") from None
        if found.error is not None:
            raise missing(topic)
        for partition in found.partitions:
            yield (topic, partition), watermarks(self._consumer, topic, partition, TIMEOUT)[1]

    def close(self) -> None:
        """Give the connection up."""
        self._consumer.close()
