"""The lag of a partition ends at 0: markers of transactions are offsets too, and nobody's record."""

from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from schemas.settings import KafkaSettings, StreamSettings
from schemas.topics import topics_of
from streams.committed_reads import Consumer
from streams.partitions import SourcePartition
from streams.state import PartitionState


class Reading(Consumer):
    """A consumer that has fetched up to *fetched*, goes on at *position*, and knows the *end*."""

    _table: Any = SimpleNamespace(source="raw")

    def __init__(self, ends: tuple[int, int] | None, fetched: int) -> None:
        self._thread: Any = SimpleNamespace(ends=lambda _: ends, fetched={TP("raw", 0): fetched})


@pytest.mark.parametrize(
    ("committed", "fetched", "position", "end", "lag"),
    [
        (10, 10, 10, 10, 0),
        (10, 10, 10, 13, 3),
        (10, 10, 12, 12, 0),  # two markers after the last record
        (7, 10, 12, 12, 5),  # three records are not committed yet: whether what follows is markers is not known
        (12, 10, 10, 12, 0),  # restored behind a marker
    ],
)
def test_what_is_not_committed_is_behind(committed: int, fetched: int, position: int, end: int, lag: int) -> None:
    topics = topics_of(KafkaSettings(), StreamSettings())
    transactions: Any = SimpleNamespace(retries=0)
    partition = SourcePartition(0, PartitionState(0, topics, StreamSettings()), transactions, topics)
    partition.committed = committed
    Reading((end, position), fetched).measure(partition)
    [records] = [figure.value for figure in partition.figures() if figure.name == "stream_lag_records"]
    assert records == lag


def test_what_is_not_known_changes_nothing() -> None:
    topics = topics_of(KafkaSettings(), StreamSettings())
    transactions: Any = SimpleNamespace(retries=0)
    partition = SourcePartition(0, PartitionState(0, topics, StreamSettings()), transactions, topics)
    partition.measure(9, 4)
    Reading(None, 4).measure(partition)
    [records] = [figure.value for figure in partition.figures() if figure.name == "stream_lag_records"]
    assert records == 5
