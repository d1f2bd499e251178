"""Blocks of a log's lines in, batches of raw lines out: the way that most lines take, and the way of the odd ones.

Every line is sent, or ignored (another program's, or empty), or is too long and dead; the counts say how many of each.
A line that stands for several (``message repeated 3 times``, ``last message repeated 3 times``) counts as that many.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from producers.batching import FRAME_BYTES, Batching
from producers.blocks import Overlong
from producers.clock import Clock
from producers.frames import Frame, frame_of, origin_of, rows_of, says_nothing
from producers.lookback import Lookback
from producers.numbering import MOST_LINES, Numbering
from producers.origins import Origin, Origins
from schemas.dead_letters import MAX_VALUE
from schemas.keys import queue_id_of
from schemas.raw import RawLine

_LARGEST_ROW: Final = 4_600
"""Bytes of the longest line that `rows_of` takes apart."""


class Counts(NamedTuple):
    """What became of lines: `lines` is the sum of `sent`, `ignored` and `dead`."""

    lines: int = 0
    sent: int = 0
    ignored: int = 0
    dead: int = 0
    unframed: int = 0
    """Of those sent, lines that name no program: just text."""


class Intake:
    """Takes the lines of one source, from one byte of it on."""

    def __init__(
        self,
        *,
        clock: Clock,
        batching: Batching,
        origins: Origins,
        longest: int,
        bury: Callable[[Overlong, int], None],
    ) -> None:
        """Lines of more than *longest* bytes go to *bury*, with their offset."""
        self.clock = clock
        self.numbering = Numbering()
        self.offset = 0
        """Where the next line begins."""
        self.sent = 0
        self.ignored = 0
        self.dead = 0
        self.unframed = 0
        self._lookback = Lookback()
        self._batching = batching
        self._origins = origins
        self._longest = longest
        self._bury = bury
        self._second = 0
        """Time of the line before, whole seconds in microseconds."""
        self._time = 0
        self._twofold_since: int | None = None

    def begin(self, clock: Clock, offset: int) -> None:
        """Go on at *offset* of another file."""
        self.clock, self.numbering, self.offset = clock, Numbering(offset), offset
        self._lookback = Lookback(offset)
        self._twofold_since = None

    def counts(self) -> Counts:
        """Return what became of the lines so far."""
        return Counts(self.sent + self.ignored + self.dead, self.sent, self.ignored, self.dead, self.unframed)

    def restore(self, counts: Counts) -> None:
        """Forget the lines taken since *counts*, for their counts."""
        _, self.sent, self.ignored, self.dead, self.unframed = counts

    def anchor(self) -> int:
        """Return from where reading again finds the same times and numbers."""
        anchor = min(self.numbering.anchor(), self._lookback.anchor(self.offset))
        return anchor if self._twofold_since is None else min(anchor, self._twofold_since)

    def take(self, block: bytes) -> None:
        """Take whole lines, each with its newline."""
        known, batching = self._origins.known, self._batching
        most_lines, most_bytes = batching.most_lines, batching.most_bytes - _LARGEST_ROW
        second, micros = self._second, self._time - self._second
        current = self.numbering.current
        seen, add = current.seen, current.seen.add
        offset, sent, before, before_zone = self.offset, self.sent, b"", b""
        self._lookback.begin(block, offset)
        for line, stamp, fraction, zone, name, text, queue_id in rows_of(block):
            if stamp and (stamp != before or zone != before_zone):
                at = self._at(stamp, zone, offset)
                if at is not None:
                    second = at
                    before, before_zone = stamp, zone
                    current = self.numbering.enter(second, offset)
                    seen, add = current.seen, current.seen.add
            if not stamp or stamp != before:
                self.offset, self.sent, self._second, self._time = offset, sent, second, second + micros
                self._take_odd(line)
                offset, sent, second, micros = self.offset, self.sent, self._second, self._time - self._second
                current = self.numbering.current
                seen, add = current.seen, current.seen.add
                before = b""
                continue
            micros = int(fraction.ljust(6, b"0")[:6]) if fraction else 0
            origin = known.get(name) or self._origins.of(name, *origin_of(name))
            size = len(line) + 1
            offset += size
            if queue_id:
                bucket = origin.host.by_queue_id.get(queue_id) or origin.host.of_queue_id(queue_id)
            elif origin.relevant:
                bucket = origin.bucket
            else:
                self.ignored += 1
                continue
            content = hash(line)
            if content in seen:
                number = current.again(content)
            else:
                add(content)
                number = 0
            lines = bucket.lines
            lines.append(RawLine(second + micros, origin.program, origin.pid, text, number))
            bucket.size = filled = bucket.size + size + FRAME_BYTES
            sent += 1
            if filled >= most_bytes or len(lines) >= most_lines:
                self.offset, self.sent, self._second, self._time = offset, sent, second, second + micros
                batching.close(bucket)
        if len(seen) > MOST_LINES:
            current.forget()
        self.offset, self.sent, self._second, self._time = offset, sent, second, second + micros

    def take_overlong(self, line: Overlong) -> None:
        """Take a line that is too long to be one."""
        self.dead += 1
        self._bury(line, self.offset)
        self.offset += line.length + 1

    def _take_odd(self, line: bytes) -> None:
        if len(line) > self._longest:
            self.take_overlong(Overlong(line[:MAX_VALUE], len(line)))
            return
        start = self.offset
        self.offset += len(line) + 1
        frame = frame_of(line) or Frame(b"", b"", b"", b"", b"", 0, line)
        at = self._at(frame.stamp, frame.zone, start) if frame.stamp else None
        if at is not None:
            self._second = at
            self._time = at + (int(frame.fraction.ljust(6, b"0")[:6]) if frame.fraction else 0)
        second = self.numbering.enter(self._second, start)
        if frame.again:
            meant = self._lookback.meant(frame, start)
            if meant is None:
                self.ignored += 1
                return
            line, frame = _again(line, frame, *meant)
        elif not frame.program and says_nothing(line):
            self.ignored += 1
            return
        origin = self._origin(frame)
        if not origin.relevant and queue_id_of(frame.text) is None:
            self.ignored += frame.times
            return
        if not frame.program:
            self.unframed += 1
        bucket = origin.host.bucket_of(origin.program, origin.pid, frame.text)
        content = hash(_as_written(line, frame.text))
        for _ in range(frame.times):
            raw = RawLine(self._time, origin.program, origin.pid, frame.text, second.number(content))
            self.sent += 1
            self._batching.add(bucket, raw, len(line) + 1)

    def _origin(self, frame: Frame) -> Origin:
        key = (frame.host, frame.program, frame.pid)
        return self._origins.known.get(key) or self._origins.of(key, *key)

    def _at(self, stamp: bytes, zone: bytes, offset: int) -> int | None:
        time = self.clock.at(stamp, zone)
        if not self.clock.twofold:
            self._twofold_since = None
        elif self._twofold_since is None:
            self._twofold_since = offset
        return time


def _as_written(line: bytes, text: bytes) -> bytes:
    """Return *line* as it was written the first time, if it says that *text* is repeated."""
    head, repeated, _ = line.partition(b"message repeated ")
    return head + text if repeated and not line.endswith(text) else line


def _again(line: bytes, frame: Frame, meant_line: bytes, meant: Frame) -> tuple[bytes, Frame]:
    """Return the line that *line* stands for as it would have been written then, and its frame."""
    head = line[: line.find(b"last message repeated ")]
    if frame.program:
        head = head[: head.rfind(frame.program)]
    meant_line = _as_written(meant_line, meant.text)
    tag = meant_line.rfind(meant.program, 0, len(meant_line) - len(meant.text))
    return head + meant_line[tag:], meant._replace(times=frame.times)
