"""Dead letters of a batch: all of them or none, however many there are."""

from types import SimpleNamespace
from typing import Any

import pytest

from schemas.errors import TryAgainLaterError
from schemas.settings import KafkaSettings, Settings
from sinks.dead_letters import DeadLetters


class Full:
    """A producer whose queue takes two records; *answers*: whether flushing empties it."""

    def __init__(self, *, answers: bool) -> None:
        self.answers = answers
        self.queued: list[bytes] = []
        self.written: list[bytes] = []

    def produce(self, _topic: str, value: bytes, _key: bytes, **_: Any) -> None:
        if len(self.queued) == 2:
            raise BufferError("queue full")
        self.queued.append(value)

    def flush(self, _seconds: float) -> int:
        if self.answers:
            self.written += self.queued
            self.queued = []
        return len(self.queued)


def record(offset: int) -> Any:
    return SimpleNamespace(
        topic=lambda: "t", partition=lambda: 0, offset=lambda: offset, key=lambda: b"k", value=lambda: b"junk"
    )


@pytest.mark.parametrize("answers", [True, False])
def test_more_than_the_queue_takes_are_written_or_none_is_skipped(*, answers: bool) -> None:
    letters = DeadLetters(Settings(kafka=KafkaSettings(bootstrap_servers="127.0.0.1:9")), "dead")
    producer = letters._producer = Full(answers=answers)  # type: ignore[assignment]
    records, refused = [record(offset) for offset in range(5)], dict.fromkeys(range(5), "junk")

    if answers:
        letters.write(records, refused)
        assert len(producer.written) == 5
    else:
        with pytest.raises(TryAgainLaterError, match="nothing was skipped"):
            letters.write(records, refused)
