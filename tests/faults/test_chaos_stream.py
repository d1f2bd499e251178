"""Workers are killed, frozen past their session, stopped and joined while lines pass: nothing is lost or doubled.

The oracle: a partition's rows are a function of its records, so the undisturbed run is computed here.
"""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Producer

from schemas.keys import key_of, partition_of
from schemas.progress import decode_progress
from schemas.raw import RawBatch, RawLine, StreamPosition, encode_batch
from schemas.settings import KafkaSettings, Settings
from schemas.topics import Topic, Topics, topics_of
from streams.state import PartitionState

pytestmark = pytest.mark.kafka

SECONDS = int(os.environ.get("CHAOS_SECONDS", "45"))
SEED = int(os.environ.get("CHAOS_SEED", str(random.SystemRandom().randrange(10_000))))
MESSAGES_PER_SECOND = 1000
SECOND_HALF_AFTER = 700
START = 1_700_000_000
SESSION_SECONDS = 6.0
LINES_PER_BATCH = 100


def lines_of(message: int) -> tuple[list[RawLine], list[RawLine]]:
    """A message that is deferred at first and sent much later: its state must outlive every fault in between."""
    queue_id = f"{message:06X}F1"

    def line(daemon: str, text: str, later: int = 0) -> RawLine:
        at = (START + message // MESSAGES_PER_SECOND + later) * 1_000_000
        return RawLine(at, f"postfix/{daemon}", 7, f"{queue_id}: {text}".encode())

    to = "to=<{}@x.test>, relay=r[192.0.2.1]:25, delay=1, delays=0/0/0/1, dsn=2.0.0, status={}"
    first = [
        line("smtpd", "client=c.test[192.0.2.9]"),
        line("cleanup", f"message-id=<{message}@s.test>"),
        line("qmgr", "from=<a@s.test>, size=500, nrcpt=2 (queue active)"),
        line("smtp", to.format("b", "deferred (busy)")),
        line("smtp", to.format("c", "sent (ok)")),
    ]
    return first, [line("smtp", to.format("b", "sent (ok)"), later=1), line("qmgr", "removed", later=1)]


class Feed(threading.Thread):
    """Produces batches at a steady rate, and remembers them by partition."""

    def __init__(self, kafka: KafkaSettings, topics: Topics) -> None:
        super().__init__()
        self.producer = Producer(
            {"bootstrap.servers": kafka.bootstrap_servers, "linger.ms": 5, "enable.idempotence": True}
        )
        self.topic, self.partitions = topics.raw.name, topics.raw.partitions
        self.fed: list[list[RawBatch]] = [[] for _ in range(self.partitions)]
        self.buffers: list[list[RawLine]] = [[] for _ in range(self.partitions)]
        self.messages = 0

    def run(self) -> None:
        began = time.monotonic()
        while (elapsed := time.monotonic() - began) < SECONDS:
            while self.messages < elapsed * MESSAGES_PER_SECOND:
                self.add(lines_of(self.messages)[0])
                if self.messages >= SECOND_HALF_AFTER:
                    self.add(lines_of(self.messages - SECOND_HALF_AFTER)[1])
                self.messages += 1
            self.producer.poll(0.02)
        for message in range(self.messages - SECOND_HALF_AFTER, self.messages):
            self.add(lines_of(message)[1])
        for number in range(self.partitions):
            self.close_batch(number)
        assert self.producer.flush(30) == 0

    def add(self, lines: list[RawLine]) -> None:
        number = partition_of(key_of("mx1", lines[0].program, lines[0].pid, lines[0].text), self.partitions)
        self.buffers[number] += lines
        if len(self.buffers[number]) >= LINES_PER_BATCH:
            self.close_batch(number)

    def close_batch(self, number: int) -> None:
        batch = RawBatch(host="mx1", source="chaos", position=StreamPosition(), lines=self.buffers[number])
        self.buffers[number] = []
        self.fed[number].append(batch)
        self.producer.produce(self.topic, encode_batch(batch), partition=number)


class Workers:
    """Processes of the real stream stage, and what is done to them."""

    def __init__(self, start_process: Callable[[str], subprocess.Popen[bytes]], chance: random.Random) -> None:
        self.start_process, self.chance = start_process, chance
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.frozen: dict[str, float] = {}
        self.started = 0
        self.done: list[str] = []

    def start(self) -> None:
        self.started += 1
        name = f"w{self.started}"
        self.running[name] = self.start_process(name)

    def look_after(self) -> None:
        """Start one where none is left; wake the frozen whose time has come."""
        for name, process in list(self.running.items()):
            if process.poll() is not None:
                del self.running[name]
                self.frozen.pop(name, None)
        for name, until in list(self.frozen.items()):
            if time.monotonic() > until:
                self.running[name].send_signal(signal.SIGCONT)
                del self.frozen[name]
        if not self.running:
            self.start()

    def disturb(self) -> None:
        action = self.chance.choice(["start", "kill", "term", "freeze", "start"])
        awake = [name for name in self.running if name not in self.frozen]
        if action == "start":
            if len(self.running) < 3:
                self.start()
            return
        if not awake:
            return
        name = self.chance.choice(awake)
        if action == "freeze":
            self.running[name].send_signal(signal.SIGSTOP)
            self.frozen[name] = time.monotonic() + self.chance.uniform(SESSION_SECONDS + 1, SESSION_SECONDS + 6)
        else:
            self.running[name].send_signal(signal.SIGKILL if action == "kill" else signal.SIGTERM)
        self.done.append(action)

    def stop(self) -> dict[str, int]:
        """Stop them all; return their exit codes."""
        for process in self.running.values():
            process.send_signal(signal.SIGCONT)
            process.terminate()
        return {name: process.wait(20) for name, process in self.running.items()}


Read = Callable[[KafkaSettings, Topic], list[tuple[bytes, bytes | None]]]


def test_faults_of_workers_change_nothing(
    stream_settings: Settings,
    start_stream: Callable[[str], subprocess.Popen[bytes]],
    topic_records: Read,
    tmp_path: Path,
) -> None:
    settings = stream_settings

    def logs() -> str:
        return "\n".join(f"== {file.name}\n{file.read_text()}" for file in sorted(tmp_path.glob("*.log")))

    topics = topics_of(settings.kafka, settings.stream)
    chance = random.Random(SEED)
    sys.stdout.write(f"CHAOS_SEED={SEED}\n")
    feed, workers = Feed(settings.kafka, topics), Workers(start_stream, chance)
    workers.start()
    feed.start()
    disturb_at = time.monotonic() + 6
    while feed.is_alive():
        feed.join(0.2)
        workers.look_after()
        if time.monotonic() > disturb_at:
            workers.disturb()
            disturb_at = time.monotonic() + chance.uniform(2, 6)
    lines = sum(len(batch.lines) for batches in feed.fed for batch in batches)
    deadline = time.monotonic() + 90
    while read_lines(topic_records(settings.kafka, topics.progress)) < lines and time.monotonic() < deadline:
        workers.look_after()
        time.sleep(0.5)  # a poll: the workers are other processes
    assert read_lines(topic_records(settings.kafka, topics.progress)) == lines, logs()
    for name, code in workers.stop().items():  # who was frozen finds itself fenced, and says so
        assert code == 0 or "went to another worker" in (tmp_path / f"{name}.log").read_text(), logs()
    assert workers.done

    expected = undisturbed(feed.fed, settings, topics)
    for topic in (topics.delivery_from, topics.delivery_to, topics.noqueue):
        found = dict(topic_records(settings.kafka, topic))
        wanted = expected[topic.name]
        assert len(found) == len(wanted), f"{topic.name} after {workers.done}"
        wrong = [key for key, value in wanted.items() if found.get(key) != value]
        assert not wrong, f"{topic.name} after {workers.done}: {len(wrong)} of {len(wanted)} differ, e.g. {wrong[:3]}"
    changelog = dict(topic_records(settings.kafka, topics.changelog))
    assert [key for key, value in changelog.items() if value is not None] == [b"\0position"]


def read_lines(progress: list[tuple[bytes, bytes | None]]) -> int:
    """How many lines the stage has read, by its own count."""
    return sum(decode_progress(value).lines for value in dict(progress).values() if value is not None)


def undisturbed(fed: list[list[RawBatch]], settings: Settings, topics: Topics) -> dict[str, dict[bytes, bytes | None]]:
    """What the compacted topics hold in the end if nothing happens."""
    values: dict[str, dict[bytes, bytes | None]] = {topic.name: {} for topic in topics.all()}
    for number, batches in enumerate(fed):
        state = PartitionState(number, topics, settings.stream)
        for batch in batches:
            state.merge(batch)
        for write in state.checkpoint():
            values[write.topic][write.key] = write.value
    return values
