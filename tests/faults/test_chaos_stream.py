"""Workers are killed, frozen past their session, stopped and joined in any order while lines pass."""

from collections import Counter
from collections.abc import Callable

import pytest
from faults.stream_world import SESSION_SECONDS, World, stream_world
from faults.tally import Tally

from schemas.settings import Settings

pytestmark = pytest.mark.kafka

Records = Callable[..., list[tuple[bytes, bytes | None]]]


def disturb(world: World) -> str:
    """Do something to the workers, and return what."""
    chance = world.tally.chance
    awake = sorted(world.running.keys() - world.frozen)
    action = chance.choice(["start", "start", "kill", "stop", "freeze"])
    if action == "start" and len(world.running) < 4:
        world.start()
    elif action == "freeze" and len(awake) > 1:
        world.freeze(chance.choice(awake))
    elif action == "kill" and awake:
        world.kill(chance.choice(awake))
    elif action == "stop" and awake:
        world.stop(chance.choice(awake))
    else:
        return ""
    return action


@pytest.mark.fault("stream workers: all faults in any order", fast=4, long=40)
def test_faults_of_workers_change_nothing(stream_settings: Settings, topic_records: Records, tally: Tally) -> None:
    done: Counter[str] = Counter()
    with stream_world(stream_settings, tally) as world:
        while tally.injected < tally.rounds:
            if action := disturb(world):
                tally.injected += 1
                done[action] += 1
            world.run_for(tally.chance.uniform(0.5, 4))
            if len(world.frozen) > 1 or (world.frozen and tally.chance.random() < 0.3):
                world.run_for(tally.chance.uniform(SESSION_SECONDS - 2, SESSION_SECONDS + 2))
                for name in sorted(world.frozen):
                    world.thaw(name)
                tally.recovered(world.passed())
        for name in sorted(world.frozen):
            world.thaw(name)
        tally.recovered(world.passed())
        tally.notes.append(", ".join(f"{action} {count}" for action, count in sorted(done.items())))
        world.settle(topic_records)
