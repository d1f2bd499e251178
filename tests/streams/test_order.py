"""Which records of a partition are merged, and what becomes of a gap between them."""

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from streams import order
from streams.fetching import UNKNOWN
from streams.order import Order, RecordsPassedOverError

if TYPE_CHECKING:
    from streams.committed_reads import FollowingMessage
    from streams.partitions import SourcePartition


class Consumer:
    """Seeks as often as it is asked to, and counts it."""

    def __init__(self) -> None:
        self.seeks = self.revived = 0
        self.here = True
        self.end = self.position = self.offset = 10
        """Where Kafka's log ends, up to where was fetched, and up to where that was given to the agent."""

    def fetched(self, _: Any) -> int:
        return self.offset

    async def is_behind(self, _: Any) -> bool:
        return self.position < self.end

    def revive(self, _: Any) -> None:
        self.revived += 1

    async def read_on(self, partition: Any) -> bool:
        self.seeks += 1
        partition.sought = self.seeks
        return self.here


class Case:
    """A partition that is at offset 10, and what is decided about it."""

    def __init__(self) -> None:
        self.consumer = Consumer()
        self.app = SimpleNamespace(consumer=self.consumer, rebalancing=False)
        self.order = Order(cast("Any", self.app), self.fail)
        self.partition = cast("SourcePartition", SimpleNamespace(number=3, next=10, sought=0, inflight=None))

    def fail(self, error: BaseException) -> None:
        raise error

    async def meets(self, offset: int, follows: int) -> bool:
        """Tell whether a record is merged that was fetched after the last seek; what follows from it is done."""
        message = cast("FollowingMessage", SimpleNamespace(offset=offset, follows=follows, seeks=self.partition.sought))
        merged = self.order.is_next(self.partition, message)
        await settled()
        return merged

    async def waits(self) -> None:
        """Let the partition be looked at as often as it takes to see that it stands still."""
        for _ in range(2):
            self.order.watch([self.partition])
            await settled()


async def settled() -> None:
    """Let tasks come to their ends."""
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("offset", "follows", "merged", "seeks"),
    [
        (10, 10, True, 0),
        (10, 9, True, 0),
        (14, 10, True, 0),  # between them are markers, or records of aborted transactions
        (14, 5, True, 0),
        (9, 9, False, 0),  # it was merged before
        (12, 11, False, 1),  # 10 was dropped on the way
        (10, UNKNOWN, False, 1),  # nobody knows where it was begun to read
    ],
)
def test_a_record_is_merged_once_and_after_all_before_it(
    *, offset: int, follows: int, merged: bool, seeks: int
) -> None:
    async def run() -> None:
        case = Case()
        assert await case.meets(offset, follows) is merged
        assert case.consumer.seeks == seeks

    asyncio.run(run())


def test_what_was_fetched_before_a_seek_is_no_reason_for_another() -> None:
    async def run() -> None:
        case = Case()
        assert not await case.meets(12, 11)
        old = cast("FollowingMessage", SimpleNamespace(offset=13, follows=13, seeks=0))
        assert not case.order.is_next(case.partition, old)
        await asyncio.sleep(0)
        assert case.consumer.seeks == 1

    asyncio.run(run())


def test_a_rebalance_seeks_anyway() -> None:
    async def run() -> None:
        case = Case()
        case.app.rebalancing = True
        assert not await case.meets(12, 11)
        assert case.consumer.seeks == 0

    asyncio.run(run())


def test_a_gap_that_stays_ends_the_worker() -> None:
    async def run() -> None:
        case = Case()
        for _ in range(10):
            assert not await case.meets(12, 11)
        with pytest.raises(RecordsPassedOverError, match="records 10 to 10 of partition 3"):
            await case.meets(12, 11)

    asyncio.run(run())


def test_a_partition_that_went_elsewhere_ends_none() -> None:
    async def run() -> None:
        case = Case()
        case.consumer.here = False
        for _ in range(20):
            assert not await case.meets(12, 11)

    asyncio.run(run())


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take a partition for stalled at once."""
    monkeypatch.setattr(order, "_STALLED_SECONDS", -1)
    monkeypatch.setattr(order, "_ON_ITS_WAY_SECONDS", 0)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("offset", "position", "end", "seeks"),
    [
        (10, 10, 10, 0),
        (10, 12, 12, 0),  # after the last record are markers
        (12, 12, 12, 1),  # fetched, and dropped with none after it
        (10, 10, 12, 1),  # never fetched
    ],
)
def test_what_does_not_come_is_asked_for_again(*, offset: int, position: int, end: int, seeks: int) -> None:
    async def run() -> None:
        case = Case()
        case.consumer.offset, case.consumer.position, case.consumer.end = offset, position, end
        await case.waits()
        assert (case.consumer.seeks, case.consumer.revived) == (seeks, seeks)

    asyncio.run(run())


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("busy", ["rebalancing", "inflight", "came meanwhile"])
def test_where_something_goes_on_nothing_is_asked_for(busy: str) -> None:
    async def run() -> None:
        case = Case()
        case.consumer.end = 12
        case.app.rebalancing = busy == "rebalancing"
        if busy == "inflight":
            case.partition.inflight = cast("Any", object())
        case.order.watch([case.partition])
        case.order.watch([case.partition])
        if busy == "came meanwhile":
            cast("Any", case.partition).next = 12
        await settled()
        assert case.consumer.seeks == 0

    asyncio.run(run())


@pytest.mark.usefixtures("impatient")
def test_a_stall_that_stays_ends_the_worker() -> None:
    async def run() -> None:
        case = Case()
        case.consumer.end = 12
        failures: list[BaseException] = []
        case.order = Order(cast("Any", case.app), failures.append)
        while case.consumer.seeks < 3:
            assert not failures
            await case.waits()
        await case.waits()
        assert "records from 10 on of partition 3 were asked for 3 times" in str(failures[0])

    asyncio.run(run())
