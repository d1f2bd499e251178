"""Loads that strain a worker: a message to very many, very many messages at once, queue ids that come again soon."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from faults.conftest import LONG
from faults.stream_world import START, World, stream_world
from faults.tally import Tally

from schemas.raw import RawBatch, RawLine, StreamPosition
from schemas.settings import Settings
from schemas.topics import MAX_VALUE_BYTES

pytestmark = pytest.mark.kafka

Records = Callable[..., list[tuple[bytes, bytes | None]]]

RECIPIENTS = 100_000
MOST_MEGABYTES = 700
IN_FLIGHT = 1_000_000 if LONG else 20_000
LINES_AT_ONCE = 200
TO = "to=<{}>, relay=r[192.0.2.1]:25, delay=1, delays=0/0/0/1, dsn={}, status={}"


def line(second: float, daemon: str, text: str) -> RawLine:
    return RawLine(int((START + second) * 1_000_000), f"postfix/{daemon}", 7, text.encode())


def put(world: World, number: int, lines: list[RawLine]) -> None:
    """Feed *lines* to a partition, as records of so many."""
    for at in range(0, len(lines), LINES_AT_ONCE):
        part = lines[at : at + LINES_AT_ONCE]
        world.feed.put_again(number, RawBatch(host="mx2", source="load", position=StreamPosition(), lines=part))


def memory(world: World) -> tuple[float, float]:
    """Return the memory of the one worker, now and at its most, in megabytes."""
    [process] = world.running.values()
    status = Path(f"/proc/{process.pid}/status").read_text()
    now, most = (int(status.split(f"{name}:")[1].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))
    return now, most


def sizes(world: World, records: Records) -> dict[str, int]:
    """Return the size of the largest value in each topic."""
    return {
        topic.name: max((len(value) for _, value in records(world.settings.kafka, topic) if value), default=0)
        for topic in world.topics.all()
    }


@pytest.mark.fault("a message to 100,000 recipients, worker killed amid it", fast=1, long=3)
def test_a_message_to_very_many_needs_little_memory_and_small_values(
    stream_settings: Settings, topic_records: Records, tally: Tally
) -> None:
    with stream_world(stream_settings, tally, rate=50) as world:
        most = 0.0
        for number in range(tally.rounds):
            name, at = f"{0xABC000 + number:06X}F2", 1000 + 100 * number
            lines = [
                line(at, "smtpd", f"{name}: client=c.test[192.0.2.9]"),
                line(at, "cleanup", f"{name}: message-id=<many{number}@s.test>"),
                line(at, "qmgr", f"{name}: from=<a@s.test>, size=500, nrcpt={RECIPIENTS} (queue active)"),
            ]
            lines += [
                line(at + n / RECIPIENTS, "smtp", f"{name}: {TO.format(f'r{n}@x.test', '4.0.0', 'deferred (busy)')}")
                for n in range(RECIPIENTS)
            ]
            lines += [
                line(at + 20 + n / RECIPIENTS, "smtp", f"{name}: {TO.format(f'r{n}@x.test', '2.0.0', 'sent (ok)')}")
                for n in range(RECIPIENTS)
            ]
            lines.append(line(at + 30, "qmgr", f"{name}: removed"))
            put(world, number, lines[: RECIPIENTS // 2])
            world.passed(180)
            put(world, number, lines[RECIPIENTS // 2 : RECIPIENTS * 3 // 2])
            world.run_for(tally.chance.uniform(0, 2))
            most = max(most, memory(world)[1])
            world.kill(next(iter(world.running)))
            world.look_after()
            tally.injected += 1
            put(world, number, lines[RECIPIENTS * 3 // 2 :])
            tally.recovered(world.passed(180))
            most = max(most, memory(world)[1])
        largest = sizes(world, topic_records)
        tally.notes.append(f"largest value {max(largest.values()) / 1024:.0f} KiB (most: {MAX_VALUE_BYTES // 1024})")
        tally.notes.append(f"most memory of a worker {most:.0f} MB (cap {MOST_MEGABYTES})")
        assert max(largest.values()) <= MAX_VALUE_BYTES
        assert most < MOST_MEGABYTES
        world.settle(topic_records)


@pytest.mark.fault("worker killed with very many messages deferred", fast=1, long=2)
def test_very_many_messages_in_flight_are_restored(
    stream_settings: Settings, topic_records: Records, tally: Tally
) -> None:
    with stream_world(stream_settings, tally, rate=20) as world:
        waiting: list[list[RawLine]] = [[] for _ in range(4)]

        def feed_waiting(text: Callable[[int], list[RawLine]]) -> None:
            for message in range(IN_FLIGHT):
                waiting[message % 4] += text(message)
                if len(waiting[message % 4]) >= LINES_AT_ONCE:
                    put(world, message % 4, waiting[message % 4])
                    waiting[message % 4] = []
            for number in range(4):
                put(world, number, waiting[number])
                waiting[number] = []

        def name(message: int) -> str:
            return f"{0x1000000 + message:07X}F3"

        feed_waiting(
            lambda m: [
                line(m / 500, "smtpd", f"{name(m)}: client=c.test[192.0.2.9]"),
                line(m / 500, "qmgr", f"{name(m)}: from=<a@s.test>, size=500, nrcpt=1 (queue active)"),
                line(m / 500, "smtp", f"{name(m)}: {TO.format('b@x.test', '4.0.0', 'deferred (busy)')}"),
            ]
        )
        world.passed(600)
        now, most = memory(world)
        tally.notes.append(f"{IN_FLIGHT:,} messages in flight: worker {now:.0f} MB, at its most {most:.0f} MB")
        for _ in range(tally.rounds):
            world.kill(next(iter(world.running)))
            tally.injected += 1
            killed = time.monotonic()
            world.look_after()
            world.passed(300)
            tally.recovered(time.monotonic() - killed)
        said = "\n".join(text for text in world.story().splitlines() if f"messages={IN_FLIGHT // 1000}" in text)
        tally.notes += [f"restored:{text.split('kept=[]')[1]}" for text in said.splitlines()]
        changelog = topic_records(stream_settings.kafka, world.topics.changelog)
        last = dict(changelog)
        size = sum(len(key) + len(value) for key, value in last.items() if value is not None)
        tally.notes.append(
            f"state {size / 1e6:.0f} MB in {len(last):,} records, of {len(changelog):,} in the changelog"
        )
        end = IN_FLIGHT / 500 + 3600
        feed_waiting(
            lambda m: [
                line(end, "smtp", f"{name(m)}: {TO.format('b@x.test', '2.0.0', 'sent (ok)')}"),
                line(end, "qmgr", f"{name(m)}: removed"),
            ]
        )
        world.passed(600)
        world.settle(topic_records)


@pytest.mark.fault("queue ids that come again soon, worker killed meanwhile", fast=2, long=20)
def test_queue_ids_that_come_again_under_load_name_as_many_messages(
    stream_settings: Settings, topic_records: Records, tally: Tally
) -> None:
    with stream_world(stream_settings, tally, rate=50) as world:
        came = 0
        for round_ in range(tally.rounds):
            for number in range(4):
                lines = []
                for message in range(500):  # five ids, one after the other, each anew after a few seconds
                    name, at = f"{0xAA0000 + message % 5 + 16 * number:06X}F4", 10_000 + 2000 * round_ + 3 * message
                    lines += [
                        line(at, "smtpd", f"{name}: client=c{message}.test[192.0.2.9]"),
                        line(at, "qmgr", f"{name}: from=<s{message}@s.test>, size=500, nrcpt=1 (queue active)"),
                        line(at + 1, "smtp", f"{name}: {TO.format(f'r{message}@x.test', '2.0.0', 'sent (ok)')}"),
                        line(at + 1, "qmgr", f"{name}: removed"),
                    ]
                    came += 1
                put(world, number, lines)
            world.run_for(tally.chance.uniform(0, 1.5))
            world.kill(next(iter(world.running)))
            world.look_after()
            tally.injected += 1
            tally.recovered(world.passed())
        world.settle(topic_records)
        rows = dict(topic_records(stream_settings.kafka, world.topics.delivery_from))
        again = [key for key, value in rows.items() if value is not None and b'"mx2"' in key]
        tally.compare_counts("messages", ["message"] * len(again), ["message"] * came)
        tally.notes.append(f"{came:,} messages under 20 queue ids")
        tally.settle()
