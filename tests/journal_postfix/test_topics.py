from collections.abc import Mapping

import pytest

from journal_postfix.topics import Existing, plan
from schemas.settings import KafkaSettings, StreamSettings
from schemas.topics import topics_of

RAW = topics_of(KafkaSettings(partitions=8), StreamSettings()).raw


def existing(partitions: int = 8, config: Mapping[str, str] | None = None) -> Existing:
    return Existing(partitions, 1, {**RAW.config, "unknown.to.us": "kept", **(config or {})})


def test_a_missing_topic_is_created() -> None:
    assert plan(RAW, None, grow=False).action == "create"


def test_a_topic_as_it_should_be_is_left_alone() -> None:
    change = plan(RAW, existing(), grow=True)
    assert (change.action, dict(change.config)) == ("keep", {})


def test_only_configuration_that_differs_is_corrected() -> None:
    change = plan(RAW, existing(config={"retention.ms": "1"}), grow=False)
    assert change.action == "configure"
    assert dict(change.config) == {"retention.ms": RAW.config["retention.ms"]}


def test_an_administrators_compression_stays() -> None:
    assert plan(RAW, existing(config={"compression.type": "zstd"}), grow=False).action == "keep"


@pytest.mark.parametrize(
    ("partitions", "grow", "action"),
    [(4, False, "too few"), (4, True, "grow"), (16, False, "more"), (16, True, "more")],
)
def test_partitions_are_raised_only_when_told_to_and_never_lowered(
    partitions: int,
    grow: bool,  # noqa: FBT001 - a case
    action: str,
) -> None:
    change = plan(RAW, existing(partitions=partitions, config={"retention.ms": "1"}), grow=grow)
    assert change.action == action
    assert change.partitions == partitions
    assert "retention.ms" in change.config
