"""Gather lines into batches: one open batch for each partition and host, closed when it is full or old enough."""

from collections.abc import Callable
from typing import Final

from schemas.keys import key_of, partition_of
from schemas.raw import RawLine
from schemas.settings import ProducerSettings
from schemas.topics import MAX_VALUE_BYTES

FRAME_BYTES: Final = 16
"""What a line costs in a batch beyond its own bytes."""

_MOST_SLOTS: Final = 65_536
_HEADER_BYTES: Final = 32 * 1024


class Bucket:
    """The open batch of one partition and host."""

    __slots__ = ("host", "lines", "opened", "partition", "size")

    def __init__(self, partition: int, host: str) -> None:
        """Hold no line yet."""
        self.partition: Final = partition
        self.host: Final = host
        self.lines: list[RawLine] = []
        self.size = 0
        """Bytes of its lines, FRAME_BYTES for each included."""
        self.opened = 0.0
        """When its first line came, as the caller of `Batching.close_old` counts; 0 where that is not known yet."""


class HostBuckets:
    """The buckets of one host, by what its lines are about."""

    __slots__ = ("_batching", "by_queue_id", "name")

    def __init__(self, name: str, batching: "Batching") -> None:
        """See `Batching.of_host`."""
        self.name: Final = name
        self.by_queue_id: dict[bytes, Bucket] = {}
        """Those of queue ids seen lately; `of_queue_id` has them all."""
        self._batching = batching

    def of_queue_id(self, queue_id: bytes) -> Bucket:
        """Return the bucket of a line that begins with *queue_id*."""
        bucket = self.by_queue_id.get(queue_id)
        if bucket is None:
            if len(self.by_queue_id) >= _MOST_SLOTS:
                self.by_queue_id.clear()
            bucket = self.by_queue_id[queue_id] = self.bucket_of("", 0, queue_id + b": ")
        return bucket

    def bucket_of(self, program: str, pid: int, text: bytes) -> Bucket:
        """Return the bucket of a line."""
        return self._batching.bucket(key_of(self.name, program, pid, text), self.name)


class Batching:
    """All open batches of one source.

    A batch is handed to *emit* when it has *most_lines* lines or *most_bytes* bytes, or when it is told to.
    """

    def __init__(self, settings: ProducerSettings, partitions: int, emit: Callable[[Bucket], None]) -> None:
        """Hold no line yet. *emit* must have used the bucket's lines when it returns."""
        self.most_lines: Final = settings.batch_lines
        # A batch is closed once it has reached a limit, so its last line has to fit on top.
        self.most_bytes: Final = min(
            settings.batch_bytes, MAX_VALUE_BYTES - _HEADER_BYTES - settings.max_line_bytes - FRAME_BYTES
        )
        self.emit = emit
        self._partitions: Final = partitions
        self._hosts: dict[str, HostBuckets] = {}
        self._buckets: dict[tuple[int, str], Bucket] = {}

    def of_host(self, host: str) -> HostBuckets:
        """Return the buckets of *host*."""
        buckets = self._hosts.get(host)
        if buckets is None:
            buckets = self._hosts[host] = HostBuckets(host, self)
        return buckets

    def bucket(self, key: bytes, host: str) -> Bucket:
        """Return the bucket of the partition that *key* has."""
        partition = partition_of(key, self._partitions)
        bucket = self._buckets.get((partition, host))
        if bucket is None:
            bucket = self._buckets[partition, host] = Bucket(partition, host)
        return bucket

    def add(self, bucket: Bucket, line: RawLine, size: int) -> None:
        """Put a line of *size* bytes into *bucket*, and close that if it is full then."""
        if bucket.lines and bucket.size + size + FRAME_BYTES > self.most_bytes:
            self.close(bucket)
        bucket.lines.append(line)
        bucket.size += size + FRAME_BYTES
        if bucket.size >= self.most_bytes or len(bucket.lines) >= self.most_lines:
            self.close(bucket)

    def close(self, bucket: Bucket) -> None:
        """Hand the batch over, if it has lines, and open the next."""
        if bucket.lines:
            self.emit(bucket)
            bucket.lines = []
            bucket.size, bucket.opened = 0, 0.0

    def close_all(self) -> None:
        """Close every open batch."""
        for bucket in self._buckets.values():
            self.close(bucket)

    def close_old(self, now: float, seconds: float) -> float | None:
        """Close batches whose first line came *seconds* ago; return when the next one will be due, None if none is."""
        due: float | None = None
        for bucket in self._buckets.values():
            if not bucket.lines:
                continue
            if not bucket.opened:
                bucket.opened = now
            closes = bucket.opened + seconds
            if closes <= now:
                self.close(bucket)
            elif due is None or closes < due:
                due = closes
        return due

    def forget_hosts(self) -> None:
        """Close every batch and drop the buckets: those handed out before are void."""
        self.close_all()
        self._hosts.clear()
        self._buckets.clear()
