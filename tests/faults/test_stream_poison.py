"""Records that are no batches: each a dead letter that says where it stood, and nothing else is touched by them."""

import time
from collections.abc import Callable, Iterator

import msgspec
import pytest
from confluent_kafka import Producer
from faults.stream_world import World, stream_world
from faults.tally import Tally

from journal_postfix.supervision.environment import environment_of
from schemas.dead_letters import MAX_VALUE, decode_dead_letter
from schemas.settings import Settings, StreamSettings

pytestmark = pytest.mark.kafka

Records = Callable[..., list[tuple[bytes, bytes | None]]]
LIMIT = StreamSettings().bad_records_in_a_row


def poisons(world: World) -> Iterator[bytes]:
    """Yield records that are no batches, each of another kind."""
    chance = world.tally.chance
    while True:
        yield b""
        yield chance.randbytes(chance.randint(1, 2000))
        yield b"<22>Oct  1 00:00:00 mx1 postfix/qmgr[7]: 3F2A1B: removed"
        yield msgspec.json.encode({"host": "mx1", "lines": []})
        yield msgspec.msgpack.encode([1, "mx1", "source", None, [["no time", "postfix/qmgr", 7, b"x", 0]]])
        yield b"\x91" * chance.randint(1, 100_000)


@pytest.mark.fault("poison: raw records that don't decode, among others", fast=6, long=60)
def test_poison_is_a_dead_letter_each_and_its_neighbours_count(
    stream_settings: Settings, topic_records: Records, tally: Tally
) -> None:
    with stream_world(stream_settings, tally, workers=2) as world:
        poison = poisons(world)
        while tally.injected < tally.rounds:
            for _ in range(3):
                world.feed.put(tally.chance.randrange(4), next(poison))
                tally.injected += 1
            if tally.injected % 12 == 0:  # the letters are written once, also if the checkpoint that has them is not
                world.kill(tally.chance.choice(sorted(world.running)))
            tally.recovered(world.passed())
            world.run_for(tally.chance.uniform(0, 0.5))
        world.settle(topic_records)
        letters = [value for _, value in topic_records(stream_settings.kafka, world.topics.dead_letter)]
        fed = world.feed.fed
        for letter in [decode_dead_letter(value) for value in letters if value is not None]:
            assert letter.partition is not None
            assert letter.offset is not None
            record = fed[letter.partition][letter.offset]
            assert isinstance(record, bytes)
            assert (letter.stage, letter.topic) == ("stream", world.topics.raw.name)
            assert (letter.value, letter.length) == (record[:MAX_VALUE], len(record))
            assert letter.reason.startswith("not a batch of log lines")


def passing_over(settings: Settings) -> str:
    raised = settings.stream.model_copy(update={"bad_records_in_a_row": 4 * LIMIT})
    return environment_of(Settings(stream=raised), {})["JOURNAL_POSTFIX_STREAM"]


@pytest.mark.fault("poison: nothing but records that don't decode", fast=1, long=20)
def test_nothing_but_poison_halts_the_stage_and_drains_no_topic(
    stream_settings: Settings, topic_records: Records, tally: Tally
) -> None:
    with stream_world(stream_settings, tally) as world:
        world.feed.pause()
        world.passed()
        world.keep = 0
        for name in list(world.running):
            world.stop(name)
        mark = world.feed.mark()
        producer = Producer({"bootstrap.servers": stream_settings.kafka.bootstrap_servers})
        for _ in range(3 * LIMIT):
            producer.produce(world.topics.raw.name, b"\xc1", partition=0)
        assert producer.flush(30) == 0
        for _ in range(tally.rounds):  # nor does it drain it bit by bit, however often it is started
            process = world.running[name := world.start()]
            assert process.wait(60) == 2, world.story()
            del world.running[name]
            tally.injected += 1
            assert "halted. Look for what writes there" in world.log_of(name).read_text()
        world.run_for(0.5)
        assert world.progress()[0].next_offset <= mark[0] + LIMIT
        letters = [key for key, _ in topic_records(stream_settings.kafka, world.topics.dead_letter)]
        tally.compare_counts("dead letters", letters, sorted(set(letters)))
        assert len(letters) <= LIMIT
        began = time.monotonic()
        world.start(JOURNAL_POSTFIX_STREAM=passing_over(stream_settings))  # the way out that the message names
        world.wait(lambda: world.progress()[0].next_offset == mark[0] + 3 * LIMIT)
        world.feed.resume()
        world.passed()
        tally.recovered(time.monotonic() - began)
        world.feed.fed[0][mark[0] : mark[0]] = [b"\xc1"] * 3 * LIMIT
        world.settle(topic_records)
