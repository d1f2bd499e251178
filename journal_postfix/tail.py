"""Reads a topic of one partition from its beginning, up to its present end and on from there."""

import time
from collections.abc import Iterator

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from journal_postfix.broker import TIMEOUT, brokers_named, quiet_config, unreadable
from schemas.errors import TryAgainLaterError
from schemas.settings import Settings


class Tail:
    """The committed records of a topic's only partition."""

    def __init__(self, settings: Settings, topic: str) -> None:
        """Connect. Raises ConfigurationError."""
        self._settings, self._topic = settings, topic
        self._where = f"{topic} of {brokers_named(settings)}"
        self._at_end_once = False
        self._consumer = Consumer(
            quiet_config(settings, "journal-postfix-watch")
            | {
                "group.id": "journal-postfix-unused",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 100,
            }
        )
        self._consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])

    def news(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield key and value of the records since the last call, at first of all. Raises as `messages`."""
        for message in self.messages():
            if (value := message.value()) is not None:
                yield message.key() or b"", value

    def messages(self) -> Iterator[Message]:
        """Yield the records since the last call, also those without a value.

        Raises TryAgainLaterError, and ConfigurationError where this user may not read them.
        """
        deadline = time.monotonic() + TIMEOUT
        try:
            while True:
                # The end is told each time that it is reached: more may have come and been fetched since.
                wait = 0.0 if self._at_end_once else max(0.0, deadline - time.monotonic())
                message = self._consumer.poll(wait)
                if message is None:
                    break
                error = message.error()
                if error is None:
                    yield message
                elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - the library's public name
                    self._at_end_once = True
                elif error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                    raise unreadable(self._topic, self._settings, "operate")
                elif error.fatal():  # others pass by themselves
                    raise TryAgainLaterError(f"cannot read {self._where}: {error.str()}")
        except KafkaException as error:
            raise TryAgainLaterError(f"cannot read {self._where}: {error.args[0].str()}") from None
        if not self._at_end_once:
            raise TryAgainLaterError(f"cannot read {self._where} to its end in {TIMEOUT:g} s")

    def close(self) -> None:
        """Give the connection up."""
        self._consumer.close()
