"""When a sink that cannot read gives up, and when it has only to wait."""

from types import SimpleNamespace

import pytest
from confluent_kafka import KafkaError

from schemas.errors import TryAgainLaterError
from sinks import reading_errors
from sinks.reading_errors import LastingErrors

REFUSED, GONE = KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.UNKNOWN_TOPIC_OR_PART


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Give the time, to be put forward."""
    time = [1000.0]
    monkeypatch.setattr(reading_errors, "time", SimpleNamespace(monotonic=lambda: time[0]))
    return time


@pytest.mark.parametrize(
    ("topic", "code", "said"),
    [
        ("t", REFUSED, r"^t can't be read .*authorization"),
        ("t", GONE, r"^t can't be read .*Unknown topic"),
        (None, KafkaError.GROUP_AUTHORIZATION_FAILED, r"^the group is refused .*authorization"),
    ],
)
def test_what_lasts_is_told_after_two_minutes(now: list[float], topic: str | None, code: int, said: str) -> None:
    errors = LastingErrors()
    errors.note(topic, KafkaError(code))
    now[0] += 100
    errors.note(topic, KafkaError(code))
    assert errors.check() is (topic is not None)
    assert not errors.check(), "once is enough"
    now[0] += 21
    with pytest.raises(TryAgainLaterError, match=said):
        errors.check()


def test_what_passes_is_not_told(now: list[float]) -> None:
    errors = LastingErrors()
    errors.note("t", KafkaError(REFUSED))
    errors.note(None, KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED))
    errors.note("other", KafkaError(KafkaError.LEADER_NOT_AVAILABLE))
    errors.well("t")
    errors.assigned()
    now[0] += 1000
    assert not errors.check()


def test_another_topic_that_is_read_does_not_hide_one_that_is_not(now: list[float]) -> None:
    errors = LastingErrors()
    errors.note("t", KafkaError(GONE))
    errors.well("other")
    errors.assigned()
    now[0] += 1000
    with pytest.raises(TryAgainLaterError, match=r"^t can"):
        errors.check()
