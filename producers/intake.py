"""Blocks of a log's lines in, batches of raw lines out: the way that most lines take, and the way of the odd ones.

Every line is sent, or ignored (another program's, or empty), or is too long and dead; the counts say how many of each.
A line that stands for several (``message repeated 3 times``, ``last message repeated 3 times``) counts as that many.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from producers.batching import FRAME_BYTES, Batching
from producers.blocks import Block, Found, Overlong
from producers.clock import Clock
from producers.frames import Frame, frame_of, origin_of, rows_of, says_nothing
from producers.lookback import Lookback
from producers.numbering import MOST_LINES, Numbering, Second
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
        self._lookback = Lookback(longest)
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
        self._lookback = Lookback(self._longest, offset)
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

    def tail(self, size: int) -> bytes:
        """Return the *size* bytes before the next line, fewer where they are not known."""
        return self._lookback.tail(self.offset, size)

    def feed(self, found: Found) -> None:
        """Take what a piece of the source has completed."""
        if isinstance(found, Block):
            self.take(found.lines)
        elif isinstance(found, Overlong):
            self.take_overlong(found)
        else:
            self.offset += found.length

    def take(self, block: bytes) -> None:  # noqa: C901, PLR0912, PLR0915 - one loop: a call costs each line dear
        """Take whole lines, each with its newline."""
        known, batching, longest = self._origins.known, self._batching, self._longest
        most_lines, most_bytes = batching.most_lines, batching.most_bytes - _LARGEST_ROW
        second, micros = self._second, self._time - self._second
        current = self.numbering.current
        seen, add = current.seen, current.seen.add
        offset, sent, before, before_zone, passed = self.offset, self.sent, b"", b"", b""
        self._lookback.begin(block, offset)
        for line, stamp, fraction, zone, name, text, queue_id in rows_of(block):
            size = len(line) + 1
            origin = (known.get(name) or self._origins.of(name, *origin_of(name))) if stamp else None
            if origin is not None and not queue_id and not origin.relevant and size <= longest:
                if stamp != passed:
                    # Not its time: a machine that has none would move the year for all that follows.
                    self.numbering.enter(stamp, offset)
                    before, passed = b"", stamp
                offset += size
                self.ignored += 1
                continue
            if stamp and (stamp != before or zone != before_zone):
                at = self._at(stamp, zone, offset)
                if at is None:
                    before = b""
                else:
                    second = at
                    before, before_zone = stamp, zone
                    current = self.numbering.enter(second, offset)
                    seen, add = current.seen, current.seen.add
            if origin is None or stamp != before or size > longest:
                self.offset, self.sent, self._second, self._time = offset, sent, second, second + micros
                self._take_odd(line)
                offset, sent, second, micros = self.offset, self.sent, self._second, self._time - self._second
                current = self.numbering.current
                seen, add = current.seen, current.seen.add
                before = b""
                continue
            micros = int(fraction.ljust(6, b"0")[:6]) if fraction else 0
            offset += size
            if queue_id:
                bucket = origin.host.by_queue_id.get(queue_id) or origin.host.of_queue_id(queue_id)
            else:
                bucket = origin.bucket
            content = hash((micros, origin.name, text))
            if content in seen:
                number = current.again(content)
            else:
                add(content)
                number = 0
                if len(seen) > MOST_LINES:
                    current.forget()
            lines = bucket.lines
            lines.append(RawLine(second + micros, origin.program, origin.pid, text, number))
            bucket.size = filled = bucket.size + size + FRAME_BYTES
            sent += 1
            if filled >= most_bytes or len(lines) >= most_lines:
                self.offset, self.sent, self._second, self._time = offset, sent, second, second + micros
                batching.close(bucket)
        self.offset, self.sent, self._second, self._time = offset, sent, second, second + micros

    def take_overlong(self, line: Overlong) -> None:
        """Take a line that is too long to be one."""
        self.dead += 1
        self._bury(line, self.offset)
        self.offset += line.length + 1

    def _take_odd(self, line: bytes) -> None:
        if len(line) > self._longest:
            text = line.lstrip(b"\0")
            self.offset += len(line) - len(text)
            line = text
        if len(line) > self._longest:
            self.take_overlong(Overlong(line[:MAX_VALUE], len(line)))
            return
        start = self.offset
        self.offset += len(line) + 1
        stamped = frame = frame_of(line) or Frame(b"", b"", b"", b"", b"", 0, line)
        if frame.again:
            meant = self._lookback.meant(frame, start)
            if meant is None:
                self._pass_by(stamped, 1, start)
                return
            frame = meant._replace(times=frame.times)
        elif not frame.program and says_nothing(line):
            self._pass_by(stamped, 1, start)
            return
        origin = self._origin(frame)
        if not origin.relevant and queue_id_of(frame.text) is None:
            self._pass_by(stamped, frame.times, start)
            return
        if not frame.program:
            self.unframed += 1
        second = self._enter(stamped, start)
        bucket = origin.host.bucket_of(origin.program, origin.pid, frame.text)
        content = hash((self._time - self._second, origin.name, frame.text))
        for _ in range(frame.times):
            raw = RawLine(self._time, origin.program, origin.pid, frame.text, second.number(content))
            self.sent += 1
            self._batching.add(bucket, raw, len(line) + 1)

    def _enter(self, frame: Frame, offset: int) -> Second:
        """Take over the time of a line, where it tells one, and return the second that it is in."""
        at = self._at(frame.stamp, frame.zone, offset) if frame.stamp else None
        if at is not None:
            self._second = at
            self._time = at + (int(frame.fraction.ljust(6, b"0")[:6]) if frame.fraction else 0)
        return self.numbering.enter(self._second, offset)

    def _pass_by(self, frame: Frame, times: int, offset: int) -> None:
        """Ignore a line. Its time is not looked at, as in `take`."""
        self.ignored += times
        if frame.stamp:
            self.numbering.enter(frame.stamp, offset)

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
