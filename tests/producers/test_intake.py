"""Lines in, batches out: nothing lost, nothing added, order kept within each key."""

from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.batching import Batching, Bucket
from producers.blocks import Blocks, Overlong
from producers.clock import Clock
from producers.intake import Intake
from producers.origins import Origins
from producers.relevance import Relevance
from schemas.keys import key_of, partition_of
from schemas.raw import RawLine
from schemas.settings import ProducerSettings

PARTITIONS = 3


NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


class Taken:
    """What came out of an intake."""

    def __init__(self, **options: Any) -> None:
        settings = ProducerSettings(**options)
        self.batches: list[tuple[int, str, list[RawLine]]] = []
        self.dead: list[tuple[Overlong, int]] = []
        self.batching = Batching(settings, PARTITIONS, self._emit)
        self.intake = Intake(
            clock=Clock(UTC, now=NOW),
            batching=self.batching,
            origins=Origins(self.batching, Relevance(settings.programs), "mx9"),
            longest=settings.max_line_bytes,
            bury=lambda line, offset: self.dead.append((line, offset)),
        )

    def take(self, *blocks: bytes) -> "Taken":
        for block in blocks:
            self.intake.take(block)
        self.batching.close_all()
        return self

    def lines(self) -> list[RawLine]:
        return [line for _, _, lines in self.batches for line in lines]

    def _emit(self, bucket: Bucket) -> None:
        self.batches.append((bucket.partition, bucket.host, bucket.lines))


FIRST = b"Nov 23 06:28:35 mx1 postfix/smtpd[42]: "
TIME = 1_795_415_315_000_000


def test_a_line_without_a_frame_is_sent_whole_with_the_time_of_the_line_before_and_the_settings_host() -> None:
    taken = Taken().take(FIRST + b"x\nno frame\r\n")

    assert taken.lines()[1] == RawLine(TIME, "", 0, b"no frame\r")
    assert [host for _, host, _ in taken.batches] == ["mx1", "mx9"]
    assert taken.intake.counts().unframed == 1


def test_the_time_is_zero_only_while_none_is_known() -> None:
    taken = Taken().take(b"no frame\n" + FIRST + b"x\nno frame\n")

    assert sorted(line.time for line in taken.lines()) == [0, TIME, TIME]


def test_fractions_are_kept_to_the_microsecond() -> None:
    stamps = [b"2026-11-23T06:28:35.5Z", b"2026-11-23T06:28:35.123456789Z", b"2026-11-23T06:28:35Z"]

    taken = Taken().take(b"".join(stamp + b" mx1 postfix/qmgr[1]: A1B2C3D4E5: removed\n" for stamp in stamps))

    assert [line.time - TIME for line in taken.lines()] == [500_000, 123_456, 0]


def test_a_repeated_message_becomes_lines_with_numbers_of_their_own() -> None:
    taken = Taken().take(FIRST + b"lost\n" + FIRST + b"message repeated 3 times: [ lost]\n" + FIRST + b"lost\n")

    assert [(line.text, line.number) for line in taken.lines()] == [(b"lost", n) for n in range(5)]
    assert taken.intake.counts().lines == 5
    assert taken.intake.offset == 3 * len(FIRST) + len(b"lost\nmessage repeated 3 times: [ lost]\nlost\n")


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_lines_may_end_as_on_windows(end: bytes) -> None:
    taken = Taken().take(FIRST + b"one" + end + FIRST + b"two" + end)

    assert [line.text for line in taken.lines()] == [b"one", b"two"]
    assert taken.intake.offset == len(FIRST + b"one" + end) * 2


LAST = b"Nov 23 06:28:35 mx1 last message repeated 2 times\n"
OTHER = b"Nov 23 06:28:35 mx2 postfix/smtpd[7]: other\n"
FOREIGN = b"Nov 23 06:28:35 mx1 sshd[9]: hello\n"

REPEATED: dict[str, tuple[list[bytes], list[tuple[bytes, int]], int]] = {
    "the line before it": ([FIRST + b"lost\n", LAST], [(b"lost", 0), (b"lost", 1), (b"lost", 2)], 0),
    "the line before it, counted on": (
        [FIRST + b"lost\n", LAST, FIRST + b"lost\n", LAST],
        [(b"lost", n) for n in range(6)],
        0,
    ),
    "the line before it, with its tag": (
        [FIRST + b"lost\n", FOREIGN, FIRST + b"last message repeated 1 time\n"],
        [(b"lost", 0), (b"lost", 1)],
        1,
    ),
    "the line before it of its host": (
        [FIRST + b"lost\n", OTHER, LAST],
        [(b"lost", 0), (b"lost", 1), (b"lost", 2), (b"other", 0)],
        0,
    ),
    "the line before those that say so too": (
        [FIRST + b"lost\n", LAST, LAST],
        [(b"lost", n) for n in range(5)],
        0,
    ),
    "what a repeated line stands for": (
        [FIRST + b"message repeated 2 times: [ lost]\n", LAST],
        [(b"lost", n) for n in range(4)],
        0,
    ),
    "another program's line, ignored as often": ([FIRST + b"lost\n", FOREIGN, LAST], [(b"lost", 0)], 3),
    "a line that is not there": ([LAST, OTHER, LAST], [(b"other", 0)], 2),
    "text without a program": ([b"Nov 23 06:28:35 mx1 -- MARK --\n", LAST], [], 2),
    "a line too far back": (
        [FIRST + b"lost\n", *[b"Nov 23 06:28:35 mx2 sshd[9]: hello\n"] * 100, LAST],
        [(b"lost", 0)],
        101,
    ),
}


@pytest.mark.parametrize("name", REPEATED)
@pytest.mark.parametrize("cut", [False, True])
def test_a_line_that_says_again_stands_for(name: str, cut: bool) -> None:  # noqa: FBT001
    lines, expected, ignored = REPEATED[name]

    taken = Taken().take(*lines) if cut else Taken().take(b"".join(lines))

    assert sorted((line.text, line.number) for line in taken.lines()) == expected
    assert taken.intake.counts().ignored == ignored


def test_times_of_other_programs_are_nobodys() -> None:
    router = b"Jan  1 00:00:12 gw kernel: booting\n"
    odd = b"Jan  1 00:00:12 gw last message repeated 2 times\n"
    taken = Taken().take(FIRST + b"lost\n" + router + odd + router + FIRST + b"lost\n" + b"no frame\n")

    assert [(line.text, line.number, line.time) for line in sorted(taken.lines(), key=lambda line: line.text)] == [
        (b"lost", 0, TIME), (b"lost", 1, TIME), (b"no frame", 0, TIME),
    ]  # fmt: skip
    assert taken.intake.clock.year == 2026
    assert taken.intake.counts()[:4] == (7, 3, 4, 0)


def test_the_anchor_moves_on_with_lines_of_other_programs() -> None:
    others = b"".join(f"Nov 23 06:{m:02}:{s:02} mx1 cron[1]: x\n".encode() for m in range(30, 40) for s in range(60))
    taken = Taken().take(FIRST + b"lost\n", others)

    assert taken.intake.offset - taken.intake.numbering.anchor() < 1000


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_lines_that_are_told_to_be_repeated_number_on(end: bytes) -> None:
    taken = Taken().take(
        FIRST + b"lost" + end + FIRST + b"message repeated 2 times: [ lost]" + end + FIRST + b"lost" + end
    )

    assert sorted(line.number for line in taken.lines()) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "line",
    [
        b'{"log":"2026-11-23T06:28:35+00:00 mx1 postfix/smtpd[42]: lost\\n","time":"2026-11-23T06:28:35.%d00Z"}\n',
        b"2026-11-23T06:28:35.%d00000000Z stdout F 2026-11-23T06:28:35+00:00 mx1 postfix/smtpd[42]: lost\n",
    ],
)
def test_lines_that_differ_by_the_stamp_of_a_container_engine_alone_are_numbered(line: bytes) -> None:
    taken = Taken().take(line % 1 + line % 2)

    assert sorted((raw.time, raw.number) for raw in taken.lines()) == [(TIME, 0), (TIME, 1)]


def test_hosts_whose_clocks_differ_number_their_lines_apart() -> None:
    lines = [b"Nov 23 06:28:%02d mx%d postfix/smtpd[42]: lost\n" % (5 * host, host) for host in range(1, 9)]
    taken = Taken().take(b"".join(lines) * 3)

    assert sorted(line.number for line in taken.lines()) == [0] * 8 + [1] * 8 + [2] * 8


def test_a_stamp_with_an_impossible_zone_has_the_time_of_the_line_before_wherever_blocks_are_cut() -> None:
    first = b"2026-11-23T06:28:35.25Z mx1 postfix/smtpd[42]: one\n"
    wrong = b"2026-11-23T06:28:35.5+99:00 mx1 postfix/smtpd[42]: two\n"

    for taken in (Taken().take(first + wrong), Taken().take(first, wrong)):
        assert {line.time for line in taken.lines()} == {TIME + 250_000}


def test_a_line_that_is_too_long_is_one_in_a_block_too() -> None:
    data = b'[x@1 y="' + b"z" * 70_000 + b'"]'
    long = b"<22>1 2026-11-23T06:28:35Z mx1 postfix/smtpd 42 - " + data + b" lost\n"
    short = b"<22>1 2026-11-23T06:28:35Z mx1 postfix/smtpd 42 - - lost\n"
    taken = Taken().take(short + long + short)

    assert taken.intake.counts()[:4] == (3, 2, 0, 1)
    assert taken.intake.offset == len(short + long + short)


def test_numbers_begin_anew_amid_a_block_where_a_second_has_too_many_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("producers.intake.MOST_LINES", 50)
    monkeypatch.setattr("producers.numbering.MOST_LINES", 50)
    lines = [FIRST + b"%d\n" % (n % 60) for n in range(240)]

    def numbers(*blocks: bytes) -> list[tuple[bytes, int]]:
        return sorted((line.text, line.number) for line in Taken().take(*blocks).lines())

    assert numbers(b"".join(lines)) == numbers(*lines)
    assert numbers(b"".join(lines)) == numbers(b"".join(lines[:130]), b"".join(lines[130:]))


def test_nuls_before_a_line_cost_nothing_wherever_pieces_are_cut() -> None:
    content = FIRST + b"one\n" + b"\0" * 100_000 + FIRST + b"two\n" + FIRST + b"three\n"
    for size in (10_000, 65_536, 65_600, len(content)):
        taken, blocks = Taken(), Blocks(65_536)
        for start in range(0, len(content), size):
            for found in blocks.feed(content[start : start + size]):
                taken.intake.feed(found)
        taken.batching.close_all()
        assert sorted(line.text for line in taken.lines()) == [b"one", b"three", b"two"]
        assert taken.intake.offset == len(content)
        assert taken.dead == []


def test_a_line_that_says_again_looks_back_no_further_than_one_that_was_too_long() -> None:
    before, long = FIRST + b"lost\n", FIRST + b"x" * 5000 + b"\n"

    for taken in (
        Taken(max_line_bytes=4096).take(before + long + LAST),
        Taken(max_line_bytes=4096).take(before, long, LAST),
    ):
        assert taken.intake.counts()[:4] == (3, 1, 1, 1)


def test_a_line_that_says_again_of_one_that_was_too_long_is_ignored() -> None:
    taken = Taken().take(FIRST + b"lost\n")
    taken.intake.take_overlong(Overlong(b"x", 70_000))
    taken.take(LAST)

    assert [line.text for line in taken.lines()] == [b"lost"]
    assert taken.intake.counts()[:4] == (3, 1, 1, 1)


def test_lines_of_cyrus_are_ignored_but_for_those_that_name_a_message() -> None:
    head = b"Nov 23 06:28:35 mx1 cyrus/lmtp[1]: "
    texts = [b"Delivered: <a@b.test> to mailbox: user.erika", b"dupelim: x", b"A1B2C3D4E5: x", b"auditlog: append"]

    taken = Taken().take(b"".join(head + text + b"\n" for text in texts))

    assert [line.text for line in taken.lines()] == [b"A1B2C3D4E5: x"]
    assert taken.intake.counts().ignored == 3


def test_empty_lines_and_marks_are_ignored() -> None:
    taken = Taken().take(b"\n\r\n\0\0\n" + FIRST + b"x\nNov 23 06:28:35 mx1 -- MARK --\n \n")

    assert [line.text for line in taken.lines()] == [b"x"]
    assert taken.intake.counts() == (6, 1, 5, 0, 0)


def test_a_line_without_stamp_that_is_plainly_postfix_is_a_line_of_that_program() -> None:
    taken = Taken().take(b"postfix/qmgr[7]: A1B2C3D4E5: removed\n")

    assert taken.lines() == [RawLine(0, "postfix/qmgr", 7, b"A1B2C3D4E5: removed")]
    assert taken.intake.counts().unframed == 0


def test_an_impossible_date_has_the_time_of_the_line_before() -> None:
    taken = Taken().take(FIRST + b"one\nNov 31 00:00:00 mx1 postfix/smtpd[42]: two\n")

    assert [(line.time, line.text) for line in taken.lines()] == [(TIME, b"one"), (TIME, b"two")]


def test_names_that_are_not_utf8_stay_distinct_and_can_be_written() -> None:
    taken = Taken().take(b"Nov 23 06:28:35 m\xff postfix[1]: x\nNov 23 06:28:35 m\xfe postfix[1]: x\n")

    assert sorted(host for _, host, _ in taken.batches) == ["m\\xfe", "m\\xff"]


@pytest.mark.parametrize(
    ("options", "text", "most"),
    [({"batch_lines": 7}, b"x", 7), ({"batch_bytes": 8000}, b"x" * 500, 14), ({"batch_bytes": 1024}, b"x" * 5000, 1)],
)
def test_a_batch_closes_at_its_lines_or_bytes(options: dict[str, int], text: bytes, most: int) -> None:
    taken = Taken(**options).take((FIRST + text + b"\n") * 100)

    sizes = [len(lines) for _, _, lines in taken.batches]
    assert sum(sizes) == 100
    assert 1 <= max(sizes) <= most
    for _, _, lines in taken.batches:
        assert len(lines) == 1 or sum(len(line.text) for line in lines) <= options.get("batch_bytes", 262_144)


def test_a_batch_waits_no_longer_than_it_may() -> None:
    taken = Taken()
    taken.intake.take(FIRST + b"x\n")

    assert taken.batching.close_old(10.0, 0.1) == pytest.approx(10.1)
    assert taken.batches == []
    assert taken.batching.close_old(10.1, 0.1) is None
    assert len(taken.lines()) == 1


def test_more_processes_than_are_remembered_lose_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("producers.origins._MOST", 3)

    taken = Taken().take(b"".join(b"Nov 23 06:28:35 mx%d postfix/smtpd[%d]: x\n" % (n % 5, n) for n in range(50)))

    assert sorted(line.pid for line in taken.lines()) == list(range(50))


_texts = st.sampled_from(
    [
        b"A1B2C3D4E5: x",
        b"warning: A1B2C3D4E5: y",
        b"B1B2C3D4E5: x",
        b"connect",
        b"message repeated 2 times: [ x]",
        b"last message repeated 2 times",
        b"y" * 9000,
        b"\xff\0",
    ]
)
_frames = st.sampled_from(
    [
        FIRST,
        b"Nov 23 06:28:36 mx1 postfix/qmgr[1]: ",
        b"Nov 23 06:28:35 mx2 sshd[9]: ",
        b"2026-11-23T06:28:35.1Z mx1 postfix/smtpd[42]: ",
        b"<22>1 2026-11-23T06:28:35Z mx1 postfix/smtpd 42 - - ",
        b"Nov 31 06:28:35 mx1 postfix/smtpd[42]: ",
        b"Nov 23 06:28:35 mx1 ",
        b"",
    ]
)
_lines = st.lists(st.tuples(_frames, _texts, st.sampled_from([b"\n", b"\r\n"])).map(b"".join), max_size=40)


@given(_lines, st.data())
def test_lines_come_out_once_in_order_per_key_wherever_blocks_are_cut(lines: list[bytes], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(lines)))
    whole, cut_up = Taken(batch_lines=4), Taken(batch_lines=4)
    whole.take(b"".join(lines))
    cut_up.take(*(b"".join(part) for part in (lines[:cut], lines[cut:]) if part))

    assert by_key(whole) == by_key(cut_up)
    counts = whole.intake.counts()
    assert counts == cut_up.intake.counts()
    assert counts.sent == len(whole.lines())
    assert counts.lines >= len(lines)
    if not any(b"repeated" in line for line in lines):
        assert counts.lines == len(lines)
    assert whole.intake.offset == len(b"".join(lines))


def by_key(*parts: Taken) -> dict[bytes, list[RawLine]]:
    """Return the lines of each key, in order, each in the partition of its key."""
    found: dict[bytes, list[RawLine]] = {}
    for partition, host, batch in [batch for taken in parts for batch in taken.batches]:
        for line in batch:
            key = key_of(host, line.program, line.pid, line.text)
            assert partition_of(key, PARTITIONS) == partition
            found.setdefault(key, []).append(line)
    return found


@given(_lines, st.data())
def test_a_run_that_reads_again_from_the_anchor_goes_on_with_the_same_lines(
    lines: list[bytes], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(lines)))
    before, after = b"".join(lines[:cut]), b"".join(lines[cut:])
    whole, first, second = Taken(), Taken(), Taken()
    whole.take(before + after)
    first.take(before)
    anchor = first.intake.anchor()
    assert anchor == 0 or before[anchor - 1 : anchor] == b"\n"
    second.intake.begin(Clock(UTC, now=NOW, year=first.intake.clock.year), anchor)
    second.take(before[anchor:])
    second.batches.clear()

    second.take(after)

    assert by_key(first, second) == by_key(whole)


_odd = st.one_of(
    st.binary(max_size=60),
    st.tuples(_frames, _texts).map(b"".join),
    st.sampled_from([b"\n", b"\r\n", b"\0" * 9, b"\xef\xbb\xbf", b"x" * 5000, b'{"log":"x"}', b"postfix/smtpd[1]: x"]),
)


@given(st.lists(_odd, max_size=30).map(b"".join), st.lists(st.integers(0, 20_000), max_size=4))
def test_whatever_bytes_come_in_whatever_pieces_every_line_is_accounted_for(content: bytes, cuts: list[int]) -> None:
    taken, blocks = Taken(max_line_bytes=4096), Blocks(4096)
    edges = [0, *sorted(cuts), len(content)]
    found = [part for begin, end in pairwise(edges) for part in blocks.feed(content[begin:end])]
    if (last := blocks.end()) is not None:
        found.append(last)
    for part in found:
        taken.intake.feed(part)
    taken.batching.close_all()

    counts = taken.intake.counts()
    assert counts.lines == counts.sent + counts.ignored + counts.dead
    assert counts.lines >= len(content.split(b"\n")) - 1
    assert (counts.sent, counts.dead) == (len(taken.lines()), len(taken.dead))
    assert taken.intake.offset == len(content) + (not content.endswith(b"\n") and bool(content))
