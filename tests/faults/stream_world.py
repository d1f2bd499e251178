"""A stream stage under load, workers of which may come to harm, and its outputs as an undisturbed run would have them.

The oracle: a partition's rows are a function of its records, so what an undisturbed worker writes is computed here.
"""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from faults.tally import Tally

from journal_postfix.broker import TopicEnds
from journal_postfix.supervision.environment import environment_of
from schemas.errors import JournalPostfixError
from schemas.kafka import NOTHING_LOST
from schemas.keys import key_of, partition_of
from schemas.progress import Progress, decode_progress
from schemas.raw import RawBatch, RawLine, StreamPosition, encode_batch
from schemas.settings import Settings
from schemas.topics import Topic, Topics, topics_of
from streams.partitions import POSITION
from streams.state import PartitionState

START: Final = 1_700_000_000
STOP_SECONDS: Final = 20
SESSION_SECONDS: Final = 6.0
"""How long a worker may be silent here: as short as Kafka allows."""
LINES_PER_BATCH: Final = 50
SECOND_HALF_AFTER: Final = 700

RUN: Final = "import sys\nfrom schemas.settings import load\nfrom streams.worker import run\nsys.exit(run(load()))"


def first_half(message: int) -> list[RawLine]:
    """Return the lines of a message up to its deferral; for every tenth, a rejection without a queue id too."""
    to = "to=<{}@x.test>, relay=r[192.0.2.1]:25, delay=1, delays=0/0/0/1, dsn=2.0.0, status={}"
    lines = [
        _line(message, "smtpd", "client=c.test[192.0.2.9]"),
        _line(message, "cleanup", f"message-id=<{message}@s.test>"),
        _line(message, "qmgr", "from=<a@s.test>, size=500, nrcpt=2 (queue active)"),
        _line(message, "smtp", to.format("b", "deferred (busy)")),
        _line(message, "smtp", to.format("c", "sent (ok)")),
    ]
    if message % 10 == 0:
        text = f"NOQUEUE: reject: RCPT from unknown[192.0.2.6]: 554 5.7.1 <{message}@x.test>: Relay access denied; "
        text += f"from=<y@y.test> to=<{message}@x.test> proto=SMTP helo=<z>"
        lines.append(RawLine(_at(message), "postfix/smtpd", 7 + message % 97, text.encode()))
    return lines


def second_half(message: int) -> list[RawLine]:
    """Return the lines of its delivery, much later: its state must outlive every fault in between."""
    to = "to=<b@x.test>, relay=r[192.0.2.1]:25, delay=1, delays=0/0/0/1, dsn=2.0.0, status=sent (ok)"
    return [_line(message, "smtp", to, 1), _line(message, "qmgr", "removed", 1)]


def _at(message: int, later: int = 0) -> int:
    return (START + message // 500 + later) * 1_000_000


def _line(message: int, daemon: str, text: str, later: int = 0) -> RawLine:
    return RawLine(_at(message, later), f"postfix/{daemon}", 7, f"{message:06X}F1: {text}".encode())


class Feed(threading.Thread):
    """Produces batches at a steady rate, whatever the broker does, and remembers them by partition."""

    def __init__(self, settings: Settings, messages_per_second: int) -> None:
        super().__init__(daemon=True)
        servers = {"bootstrap.servers": settings.kafka.bootstrap_servers, "log_level": 0}
        self.producer = Producer({**servers, **NOTHING_LOST, "linger.ms": 5, "message.timeout.ms": 900_000})
        self.raw, self.rate = topics_of(settings.kafka, settings.stream).raw, messages_per_second
        self.fed: list[list[RawBatch | bytes]] = [[] for _ in range(self.raw.partitions)]
        """What was produced to each partition, in order: batches, and records that are none."""
        self.messages = 0
        self.failed: list[str] = []
        self._buffers: list[list[RawLine]] = [[] for _ in range(self.raw.partitions)]
        self._lock, self._ended, self._flowing = threading.Lock(), threading.Event(), threading.Event()
        self._flowing.set()

    def run(self) -> None:
        due, before = 0.0, time.monotonic()
        while not self._ended.is_set():
            self._flowing.wait(0.5)
            now = time.monotonic()
            due += (now - before) * self.rate if self._flowing.is_set() else 0
            before = now
            with self._lock:
                while due >= 1:
                    self._add(first_half(self.messages))
                    if self.messages >= SECOND_HALF_AFTER:
                        self._add(second_half(self.messages - SECOND_HALF_AFTER))
                    self.messages += 1
                    due -= 1
            self.producer.poll(0.02)

    def mark(self) -> list[int]:
        """Produce what is buffered; return how many records each partition was given so far."""
        with self._lock:
            for number in range(len(self._buffers)):
                self._close(number)
            return [len(records) for records in self.fed]

    def put(self, number: int, record: bytes) -> None:
        """Produce a record that is no batch, after what is buffered for its partition."""
        with self._lock:
            self._close(number)
            self._produce(number, record)

    def put_again(self, number: int, record: RawBatch | bytes) -> None:
        """Produce a record that was fed before."""
        with self._lock:
            self._produce(number, record)

    def pause(self) -> None:
        self._flowing.clear()

    def resume(self) -> None:
        self._flowing.set()

    def finish(self, seconds: float = 120) -> None:
        """Produce the rest of all messages."""
        self._ended.set()
        self._flowing.set()
        self.join()
        for message in range(max(0, self.messages - SECOND_HALF_AFTER), self.messages):
            self._add(second_half(message))
        self.mark()
        assert self.producer.flush(seconds) == 0
        assert not self.failed

    def _add(self, lines: list[RawLine]) -> None:
        for line in lines:
            number = partition_of(key_of("mx1", line.program, line.pid, line.text), len(self._buffers))
            self._buffers[number].append(line)
            if len(self._buffers[number]) >= LINES_PER_BATCH:
                self._close(number)

    def _close(self, number: int) -> None:
        if self._buffers[number]:
            batch = RawBatch(host="mx1", source="faults", position=StreamPosition(), lines=self._buffers[number])
            self._buffers[number] = []
            self._produce(number, batch)

    def _produce(self, number: int, record: RawBatch | bytes) -> None:
        value = record if isinstance(record, bytes) else encode_batch(record)
        self.fed[number].append(record)
        while True:
            try:
                self.producer.produce(self.raw.name, value, partition=number, on_delivery=self._delivered)
            except BufferError:
                self.producer.poll(0.1)
            else:
                return

    def _delivered(self, error: object, _message: object) -> None:
        if error is not None:
            self.failed.append(str(error))


class World:
    """Topics, a feed, and workers that are started again when they end."""

    def __init__(self, settings: Settings, tally: Tally, folder: Path) -> None:
        self.settings, self.tally, self.folder = settings, tally, folder
        self.topics: Topics = topics_of(settings.kafka, settings.stream)
        self.feed: Feed
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.frozen: set[str] = set()
        self.ended: list[tuple[str, int]] = []
        """Workers that ended by themselves, with their exit codes."""
        self.may_end: set[int] = set()
        """Exit codes with which workers may end by themselves."""
        self.keep = 1
        """How many workers a supervisor keeps running."""
        self._started = 0
        self._progress: dict[int, Progress] = {}
        self._reader = Consumer(
            {
                "bootstrap.servers": settings.kafka.bootstrap_servers,
                "group.id": "check",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "log_level": 0,
            }
        )

    # Workers

    def start(self, program: str = "", **variables: str) -> str:
        """Start a worker after *program* has changed something in it; return its name."""
        self._started += 1
        name = f"w{self._started}"
        (self.folder / name).mkdir()
        environment = {**environment_of(self.settings, os.environ), "TMPDIR": str(self.folder / name), **variables}
        with self.log_of(name).open("wb") as log:
            command = [sys.executable, "-c", f"{program}\n{RUN}"]
            self.running[name] = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        return name

    def log_of(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def kill(self, name: str) -> None:
        process = self.running.pop(name)
        process.kill()
        process.wait()

    def stop(self, name: str) -> float:
        """Stop a worker; return how long it took. It must end well, and in time."""
        self.wait(lambda: self.said(name, "stream stage starts") or name not in self.running)
        process = self.running.pop(name)
        asked = time.monotonic()
        process.terminate()
        code = process.wait(STOP_SECONDS)
        assert code == 0, self.log_of(name).read_text()
        return time.monotonic() - asked

    def freeze(self, name: str) -> None:
        self.running[name].send_signal(signal.SIGSTOP)
        self.frozen.add(name)

    def thaw(self, name: str) -> None:
        self.running[name].send_signal(signal.SIGCONT)
        self.frozen.discard(name)

    def look_after(self) -> None:
        """Do what a supervisor does: start a worker for one that ended."""
        for name, process in list(self.running.items()):
            if (code := process.poll()) is not None:
                del self.running[name]
                self.ended.append((name, code))
        while len(self.running) < self.keep:
            self.start()

    def run_for(self, seconds: float) -> None:
        """Let everything go its way for a while."""
        until = time.monotonic() + seconds
        self.wait(lambda: time.monotonic() > until)

    # What passed

    def progress(self) -> dict[int, Progress]:
        """Return how far each partition is, as its last committed checkpoint says."""
        while batch := self._reader.consume(1000, 0.05):
            for record in batch:
                if record.error() is None:
                    self._progress[int(record.key())] = decode_progress(record.value())
        return self._progress

    def wait(self, what: Callable[[], bool], seconds: float = 90) -> float:
        """Wait until *what* is so, and look after the workers meanwhile; return the seconds that it took."""
        began = time.monotonic()
        while not what():
            assert time.monotonic() - began < seconds, self.story()
            self.look_after()
            time.sleep(0.02)  # a poll: the workers are other processes
        return time.monotonic() - began

    def passed(self, seconds: float = 90) -> float:
        """Wait until all that was fed by now has been read; return the seconds that it took."""
        mark = self.feed.mark()
        return self.wait(lambda: self.has_passed(mark), seconds)

    def forget_progress(self) -> None:
        """Take what comes from now on for the progress: that of another application."""
        self.progress()
        self._progress.clear()

    def has_passed(self, mark: list[int]) -> bool:
        progress = self.progress()
        return all(not upto or (n in progress and progress[n].next_offset >= upto) for n, upto in enumerate(mark))

    def said(self, name: str, text: str) -> bool:
        return text in self.log_of(name).read_text()

    def story(self) -> str:
        """Return how far everything is, and what all workers said."""
        fed, waiting = [len(records) for records in self.feed.fed], len(self.feed.producer)
        done = {number: progress.next_offset for number, progress in sorted(self.progress().items())}
        account = f"fed {fed} ({waiting} on their way), Kafka holds up to {self._ends()}, read up to {done}"
        logs = sorted(self.folder.glob("w*.log"), key=lambda file: int(file.stem[1:]))
        return "\n".join([account, *(f"== {log.stem}\n{log.read_text()[-3000:]}" for log in logs)])[:30_000]

    def _ends(self) -> object:
        with closing(TopicEnds(self.settings)) as ends:
            try:
                return sorted(ends.high_watermarks([self.topics.raw.name]).items())
            except JournalPostfixError as error:
                return error

    # The account

    def settle(self, records: Callable[..., list[tuple[bytes, bytes | None]]]) -> None:
        """Let the rest pass, stop the workers, compare all outputs with an undisturbed run's, and settle."""
        self.feed.finish()
        self.passed(180)
        self.keep = 0
        for name in list(self.running):
            self.stop(name)
        strange = [(name, code) for name, code in self.ended if code not in self.may_end]
        assert not strange, f"{strange}\n{self.story()}"
        compare_outputs(self.tally, self.settings, self.feed.fed, records)
        changelog = dict(records(self.settings.kafka, self.topics.changelog))
        left = [key for key, value in changelog.items() if value is not None and key != POSITION]
        self.tally.compare("state left", dict.fromkeys(left, 1), {})
        again = sum(log.read_text().count("fetching again") for log in self.folder.glob("w*.log"))
        lines = sum(p.lines for p in self.progress().values())
        self.tally.notes.append(f"{lines:,} lines; {again} times records were fetched again that had not come")
        self.tally.settle()

    def begin(self, messages_per_second: int, workers: int = 1) -> None:
        """Start feeding and *workers*; return when lines pass."""
        self._reader.assign([TopicPartition(self.topics.progress.name, 0, OFFSET_BEGINNING)])
        self.keep = workers
        for _ in range(workers):
            self.start()
        self.feed = Feed(self.settings, messages_per_second)
        self.feed.start()
        self.wait(lambda: sum(p.lines for p in self.progress().values()) > 0)

    def close(self) -> None:
        self.keep = 0
        for process in self.running.values():
            process.kill()
            process.wait()
        self._reader.close()


@contextmanager
def stream_world(settings: Settings, tally: Tally, *, rate: int = 200, workers: int = 1) -> Iterator[World]:
    """Give a world in which lines pass; nothing of it is left behind."""
    with tempfile.TemporaryDirectory(prefix="journal-postfix-faults-") as folder:
        world = World(settings, tally, Path(folder))
        try:
            world.begin(rate, workers)
            yield world
        finally:
            world.close()


def make_topics(settings: Settings) -> None:
    """Make the topics that *settings* ask for."""
    admin = AdminClient({"bootstrap.servers": settings.kafka.bootstrap_servers})
    new = [
        NewTopic(topic.name, topic.partitions, topic.replication_factor, config=topic.config)
        for topic in topics_of(settings.kafka, settings.stream).all()
    ]
    for future in admin.create_topics(new).values():
        future.result()


def outputs(topics: Topics) -> list[Topic]:
    """Return the topics that hold rows."""
    others = (topics.raw, topics.positions, topics.dead_letter, topics.progress, topics.changelog)
    return [topic for topic in topics.all() if topic not in others]


Values = dict[str, dict[bytes, bytes | None]]


def undisturbed(fed: list[list[RawBatch | bytes]], settings: Settings) -> Values:
    """Return what each topic holds in the end, by key, if nothing happens."""
    topics = topics_of(settings.kafka, settings.stream)
    values: Values = {topic.name: {} for topic in topics.all()}
    for number, records in enumerate(fed):
        state = PartitionState(number, topics, settings.stream)
        for record in records:
            if isinstance(record, RawBatch):
                state.merge(record)
        for write in state.checkpoint():
            values[write.topic][write.key] = write.value
    return values


def compare_outputs(
    tally: Tally,
    settings: Settings,
    fed: list[list[RawBatch | bytes]],
    records: Callable[..., list[tuple[bytes, bytes | None]]],
    *,
    once: bool = True,
) -> None:
    """Compare the last value of each key with an undisturbed run's; what has but one value must be there *once*."""
    topics = topics_of(settings.kafka, settings.stream)
    expected = undisturbed(fed, settings)
    for topic in outputs(topics):
        found = records(settings.kafka, topic)
        tally.compare(topic.name, dict(found), expected[topic.name])
        if once and "compact" not in topic.config["cleanup.policy"]:
            tally.compare_counts(topic.name, [key for key, _ in found], list(expected[topic.name]))
    bad = [
        (number, offset)
        for number, partition in enumerate(fed)
        for offset, record in enumerate(partition)
        if isinstance(record, bytes)
    ]
    letters = [key for key, _ in records(settings.kafka, topics.dead_letter)]
    tally.compare_counts("dead letters", letters, [f"{topics.raw.name}/{n}/{offset}".encode() for n, offset in bad])
