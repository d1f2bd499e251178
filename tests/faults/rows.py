"""From the bytes of a log to the rows of its messages, with the product's own parts and nothing between them."""

import json
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from producers.batching import Batching, Bucket
from producers.clock import Clock
from producers.intake import Intake
from producers.origins import Origins
from producers.relevance import Relevance
from schemas.raw import RawBatch, StreamPosition
from schemas.settings import ProducerSettings, Settings
from schemas.topics import topics_of
from streams.state import PartitionState

Row = dict[str, Any]
Identity = tuple[str, ...]


class Reading:
    """Reads a log in one go, or in several runs of which each goes on where the last one stopped."""

    def __init__(self, zone: str = "UTC", now: datetime | None = None) -> None:
        """Times without zone are of *zone*; the log is read at *now*."""
        self.settings = Settings(producer=ProducerSettings(timezone=zone, host="mx9"))
        self.batches: list[RawBatch] = []
        self._now = now or datetime.now(UTC)

    def read(self, content: bytes, stops: Iterable[int] = ()) -> "Reading":
        """Take *content*; a run ends after each of *stops*, which are offsets at which lines begin."""
        offset = anchor = year = 0
        for stop in [*sorted(stops), len(content)]:
            intake, batching = self._intake(year)
            intake.begin(Clock(self.settings.producer.zone(), now=self._now, year=year), anchor)
            before = len(self.batches)
            intake.take(content[anchor:offset])
            batching.close_all()
            del self.batches[before:]
            wrong = intake.clock.year - year
            if year and wrong:  # as FileSource does: New Year lies between the anchor and the position
                intake, batching = self._intake(year)
                intake.begin(Clock(self.settings.producer.zone(), now=self._now, year=year - wrong), anchor)
                intake.take(content[anchor:offset])
                batching.close_all()
                del self.batches[before:]
            intake.take(content[offset:stop])
            batching.close_all()
            offset, anchor, year = stop, min(intake.anchor(), stop), intake.clock.year
        return self

    def rows(self) -> dict[Identity, list[Row]]:
        """Return the rows that come of it, by what they are about: in order, checkpoint by checkpoint."""
        topics = topics_of(self.settings.kafka, self.settings.stream)
        state = PartitionState(0, topics, self.settings.stream)
        latest: dict[tuple[str, bytes], Row] = {}
        for count, batch in enumerate(self.batches, 1):
            state.merge(batch)
            if count % 10 and count < len(self.batches):
                continue
            for write in state.checkpoint():
                if write.topic in {topics.delivery_from.name, topics.delivery_to.name, topics.noqueue.name}:
                    if write.value is None:
                        latest.pop((write.topic, write.key), None)
                    else:
                        latest[write.topic, write.key] = json.loads(write.value)
        found: dict[Identity, list[Row]] = defaultdict(list)
        for (topic, _), row in latest.items():
            names = ("host", "queue_id", "recipient") if "queue_id" in row else ("host", "at", "number", "reply")
            found[topic, *(str(row.get(name)) for name in names)].append(row)
        return found

    def _intake(self, year: int) -> tuple[Intake, Batching]:
        settings = self.settings.producer
        batching = Batching(settings, 1, self._emit)
        intake = Intake(
            clock=Clock(settings.zone(), now=self._now, year=year),
            batching=batching,
            origins=Origins(batching, Relevance(settings.programs), settings.host or ""),
            longest=settings.max_line_bytes,
            bury=lambda _line, _offset: None,
        )
        return intake, batching

    def _emit(self, bucket: Bucket) -> None:
        self.batches.append(
            RawBatch(host=bucket.host, source="log", position=StreamPosition(), lines=list(bucket.lines))
        )


def without_times(rows: dict[Identity, list[Row]]) -> dict[Identity, list[Row]]:
    """Return *rows* without what says when; rejections that never had a queue id become a count."""
    found: dict[Identity, list[Row]] = {}
    for identity, same in rows.items():
        if "queue_id" in same[0]:
            found[identity] = [
                {name: value for name, value in row.items() if not name.endswith("at") and name != "history"}
                for row in same
            ]
        else:
            name = (identity[0], identity[1], "rejections")
            found[name] = [{"count": found.get(name, [{"count": 0}])[0]["count"] + len(same)}]
    return found
