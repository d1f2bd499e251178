"""What a client of Kafka hears on the way to its brokers: who is refused for good, and who should try again."""

import time
from collections.abc import Sequence
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from schemas.errors import ConfigurationError
from schemas.kafka import quiet
from schemas.settings import KafkaSettings

_FIRST_STEP: Final = 1.0
_UNTRUSTED: Final = ("certificate", "unknown ca", "handshake failure")
"""Words of the alerts that a broker sends to a client whose certificate is missing or not to its liking."""


class Complaints:
    """Collects what librdkafka complains of, as its ``error_cb``, which is called while the client is polled."""

    def __init__(self, kafka: KafkaSettings) -> None:
        """Take the settings with which the client connects."""
        self._kafka = kafka
        self._latest: dict[int, KafkaError] = {}

    def __call__(self, error: KafkaError) -> None:
        """Keep *error*, the latest of its kind."""
        self._latest[error.code()] = error

    def refusal(self) -> ConfigurationError | None:
        """Return why the brokers will never let this client in as it is; None where it may help to wait."""
        for error in self._latest.values():
            if (what := _refused(error, self._kafka)) is not None:
                return ConfigurationError(f"Kafka at {self._kafka.bootstrap_servers} {what} ({_told(error)})")
        return None

    def reason(self, otherwise: KafkaError) -> str:
        """Return the first complaint in words, or *otherwise*, the error of a call that had no answer."""
        return _told(next(iter(self._latest.values()), otherwise))


def metadata(client: AdminClient | Consumer, complaints: Complaints, seconds: float) -> Any:
    """Return what the brokers say of themselves and their topics, a ``ClusterMetadata``, within *seconds*.

    *client*, whose ``error_cb`` is *complaints*, has nothing assigned. Raises ConfigurationError as soon as it is known
    that they refuse it, KafkaException where none of them answers.
    """
    deadline, step = time.monotonic() + seconds, _FIRST_STEP
    while True:
        left = deadline - time.monotonic()
        try:
            return client.list_topics(timeout=max(0.1, min(step, left)))
        except KafkaException:
            client.poll(0)  # hands out what its threads have to say
            if (refusal := complaints.refusal()) is not None:
                raise refusal from None
            if left <= step:
                raise
        step *= 2


def missing_topics(config: dict[str, Any], names: Sequence[str], seconds: float) -> ConfigurationError:
    """Return the error for topics that the brokers do not list: they are not there, or this client may not see them.

    *config* is that of `schemas.kafka.client_config`. Blocks for *seconds* at most.
    """
    admin = AdminClient(config, logger=quiet)
    asked = admin.describe_topics(TopicCollection([*names]), request_timeout=seconds)
    if hidden := [name for name, answer in asked.items() if _is_hidden(answer)]:
        return ConfigurationError(
            f"this Kafka user has no right to know of the topics {', '.join(hidden)}: `journal-postfix check` says "
            "which rights it lacks, `journal-postfix acls` how to give them; if they are not there yet, "
            "`journal-postfix topics` makes them"
        )
    return ConfigurationError(f"missing topics: {', '.join(names)}; make them with `journal-postfix topics`")


def _is_hidden(answer: Any) -> bool:
    try:
        answer.result()
    except KafkaException as error:
        return bool(error.args[0].code() == KafkaError.TOPIC_AUTHORIZATION_FAILED)
    return False


def _refused(error: KafkaError, kafka: KafkaSettings) -> str | None:
    said = error.str()
    if error.code() == KafkaError._AUTHENTICATION:  # noqa: SLF001 - the library's names
        return f"refuses the log-in of {kafka.sasl_username}: check kafka.sasl_username, its password and the mechanism"
    if "certificate verify failed" in said:
        return (
            "shows a certificate that is not to be trusted: unknown authority (kafka.ssl_ca_file), another host's, or "
            "expired; `journal-postfix check` says which"
        )
    if "SSL alert number" in said and any(word in said for word in _UNTRUSTED):
        return (
            "wants a client certificate that it can trust: check kafka.ssl_certificate_file, its authority and its date"
        )
    if "wrong version number" in said:
        return "does not speak TLS at that port: check kafka.security_protocol and the port"
    return None


def _told(error: KafkaError) -> str:
    """Return the part of librdkafka's message that isn't about its threads: ``[thrd:…]: HOST/ID: reason (after …)``."""
    text = error.str()
    if "/bootstrap: " in text:
        text = text.rpartition("/bootstrap: ")[2]
    return text.rpartition("]: ")[2].partition(" (after ")[0]
