"""Who wrote a line: its host and process, and what follows from these, worked out once for all their lines."""

from typing import Final

from producers.batching import Batching, Bucket, HostBuckets
from producers.relevance import Relevance

MOST_PROGRAM: Final = 128
MOST_HOST: Final = 255
"""Bytes of a program's and a host's name; what is longer is none, and cut."""

_MOST: Final = 20_000
"""Processes remembered; a log that has more of them at a time only pays for asking again."""


class Origin:
    """A process on a host."""

    __slots__ = ("bucket", "host", "name", "pid", "program", "relevant")

    def __init__(self, host: HostBuckets, program: str, pid: int, *, relevant: bool) -> None:
        """See `Origins.of`."""
        self.host: Final = host
        self.program: Final = program
        self.pid: Final = pid
        self.relevant: Final = relevant
        """Whether its lines are Postfix's."""
        self.bucket: Final[Bucket] = host.bucket_of(program, pid, b"")
        """The batch of its lines that name no queue id."""
        self.name: Final = hash((host.name, program, pid))
        """Tells it from others, in this process of Python."""


class Origins:
    """All processes that wrote lines of one source lately."""

    def __init__(self, batching: Batching, relevance: Relevance, host: str) -> None:
        """*host* is that of lines which name none."""
        self.known: dict[object, Origin] = {}
        """By what the caller of `of` knows them by."""
        self._batching = batching
        self._relevance = relevance
        self._host = host

    def of(self, key: object, host: bytes, program: bytes, pid: int) -> Origin:
        """Return the origin with these properties and remember it as *key*.

        No Origin that was returned before may be used after this.
        """
        if len(self.known) >= _MOST:
            self.known.clear()
            self._batching.forget_hosts()
        name = _text(program)[:MOST_PROGRAM]
        buckets = self._batching.of_host(_text(host)[:MOST_HOST] or self._host)
        origin = self.known[key] = Origin(buckets, name, pid, relevant=not name or self._relevance(name))
        return origin


def _text(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")
