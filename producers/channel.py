"""The way of one source's lines to Kafka: its batches with their position, its dead letters, its marks."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from producers.batching import Batching, Bucket
from producers.blocks import Overlong
from producers.origins import Origins
from producers.publishing import Publisher
from producers.relevance import Relevance
from schemas.dead_letters import DeadLetter
from schemas.raw import Position, RawBatch
from schemas.settings import Settings


class Channel:
    """One source's."""

    def __init__(
        self, settings: Settings, source: str, host: str, publisher: Publisher, position: Callable[[], Position]
    ) -> None:
        """*host* is that of lines without one; *position* tells where the source is when it is asked."""
        self.source: Final = source
        self.silent = False
        """Whether lines are only counted: they were sent by an earlier run."""
        self.batching: Final = Batching(settings.producer, publisher.partitions, self._emit)
        self.origins: Final = Origins(self.batching, Relevance(settings.producer.programs), host)
        self._publisher = publisher
        self._position = position
        self._longest_wait = settings.producer.batch_ms / 1000

    def bury(self, line: Overlong, offset: int | None) -> None:
        """Send a line that is too long to the dead letters, in its place among the others. Raises as Publisher.send."""
        if self.silent:
            return
        self._publisher.bury(
            DeadLetter(
                at=datetime.now(UTC).isoformat(),
                stage="producer",
                reason=f"line of {line.length} bytes is longer than producer.max_line_bytes",
                source=self.source,
                offset=offset,
                value=line.head,
                length=line.length,
            )
        )

    def close_old(self, now: float) -> float | None:
        """Send the batches that waited long enough; return when the next one is due. Raises as Publisher.send."""
        return self.batching.close_old(now, self._longest_wait)

    def mark(self) -> None:
        """Send what is gathered; the position is saved once all of it is acknowledged. Raises as Publisher.send."""
        self.batching.close_all()
        self._publisher.mark(self.source, self._position())

    def _emit(self, bucket: Bucket) -> None:
        if self.silent:
            return
        batch = RawBatch(host=bucket.host, source=self.source, position=self._position(), lines=bucket.lines)
        self._publisher.send(bucket.partition, batch)
