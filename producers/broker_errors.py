"""What an error of Kafka's means to the person who runs a producer."""

from typing import Final

from confluent_kafka import KafkaError

from schemas.errors import ConfigurationError, JournalPostfixError, TryAgainLaterError

_FORBIDDEN: Final = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
    }
)
_MISSING: Final = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001 - so the library names its own errors
        KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001
    }
)


def explained(error: KafkaError, what: str, servers: str | None) -> JournalPostfixError:
    """Return the exception to raise where *what* failed with *error* for good."""
    code = error.code()
    where = f"cannot {what} at Kafka {servers}: {error.str()}"
    if code in _FORBIDDEN:
        return ConfigurationError(f"{where}: give kafka.sasl_username the right to write there (and to read positions)")
    if code in _MISSING:
        return ConfigurationError(f"{where}: make the topics with `journal-postfix topics`")
    if code == KafkaError.MSG_SIZE_TOO_LARGE:
        return ConfigurationError(f"{where}: the topic's max.message.bytes is too small; `journal-postfix topics`")
    return no_answer(error.str(), what, servers)


def no_answer(reason: str, what: str, servers: str | None) -> JournalPostfixError:
    """Return the exception to raise where *what* failed for a *reason* that may pass."""
    return TryAgainLaterError(
        f"cannot {what} at Kafka {servers}: {reason}. Is the broker running, and are kafka.bootstrap_servers and "
        "kafka.security_protocol right?"
    )
