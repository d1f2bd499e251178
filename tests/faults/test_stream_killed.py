"""Workers of the stream stage are killed: at any moment, and at those that are most delicate."""

import signal
from collections.abc import Callable

import pytest
from faults.dying import DYING, IN_A_CHECKPOINT, IN_A_REBALANCE, IN_A_RESTORE
from faults.stream_world import World, stream_world
from faults.tally import Tally

from schemas.settings import Settings

pytestmark = pytest.mark.kafka

Records = Callable[..., list[tuple[bytes, bytes | None]]]
AT_ONCE = 3
"""Workers that die about the same time: the session whose end the others wait for is then one."""


def let_die(world: World, points: tuple[str, ...], after: tuple[int, int]) -> list[str]:
    """Start workers that die at one of *points*; return their names."""
    chance = world.tally.chance
    return [
        world.start(DYING, DIE_AT=chance.choice(points), DIE_AFTER=str(chance.randint(*after))) for _ in range(AT_ONCE)
    ]


def wait_for_death(world: World, names: list[str]) -> None:
    world.wait(lambda: not world.running.keys() & set(names))
    world.tally.injected += len(names)
    world.tally.recovered(world.passed())


@pytest.mark.fault("stream worker killed (SIGKILL) at any moment", fast=2, long=20)
def test_killed_workers_cost_nothing(stream_settings: Settings, topic_records: Records, tally: Tally) -> None:
    with stream_world(stream_settings, tally, workers=3) as world:
        while tally.injected < tally.rounds:
            names = tally.chance.sample(sorted(world.running), tally.chance.randint(1, 3))
            for name in names:
                world.kill(name)
            tally.injected += len(names)
            world.look_after()
            tally.recovered(world.passed())
            world.run_for(tally.chance.uniform(0, 2))
        world.settle(topic_records)


@pytest.mark.fault("stream worker killed in a checkpoint", fast=3, long=21)
def test_workers_killed_in_a_checkpoint_cost_nothing(
    stream_settings: Settings, topic_records: Records, tally: Tally
) -> None:
    with stream_world(stream_settings, tally) as world:
        world.may_end = {-signal.SIGKILL}
        while tally.injected < tally.rounds:
            wait_for_death(world, let_die(world, IN_A_CHECKPOINT, (0, 8)))
        world.settle(topic_records)


@pytest.mark.fault("stream worker killed while it restores", fast=3, long=21)
def test_workers_killed_while_they_restore_cost_nothing(
    stream_settings: Settings, topic_records: Records, tally: Tally
) -> None:
    with stream_world(stream_settings, tally) as world:
        world.may_end = {-signal.SIGKILL}
        while tally.injected < tally.rounds:
            wait_for_death(world, let_die(world, IN_A_RESTORE, (0, 0)))
        world.settle(topic_records)


@pytest.mark.fault("stream worker killed in a rebalance", fast=3, long=21)
def test_workers_killed_in_a_rebalance_cost_nothing(
    stream_settings: Settings, topic_records: Records, tally: Tally
) -> None:
    with stream_world(stream_settings, tally) as world:
        world.may_end = {-signal.SIGKILL}
        while tally.injected < tally.rounds:
            doomed = let_die(world, IN_A_REBALANCE, (0, 1))
            while world.running.keys() & set(doomed):  # others come and go, so that there are rebalances
                cause = world.start()
                world.wait(lambda cause=cause: world.said(cause, "partitions assigned"))
                world.run_for(tally.chance.uniform(0, 1))
                world.stop(cause)
            wait_for_death(world, doomed)
        world.settle(topic_records)
