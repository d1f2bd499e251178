"""Clocks jump, change to summer time and back, and disagree: every message keeps one row, with its true time."""

from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from faults.mail_log import START, Logged, framed, logged, traditional
from faults.rows import Reading, without_times
from faults.tally import Tally

MESSAGES = 1000
BERLIN = ZoneInfo("Europe/Berlin")
HOUR = 3600
HOSTS = ("mx1",)
LATE = 0.2
"""How many of the rejections come later than lines that were logged after them."""


def stops_in(tally: Tally, content: bytes) -> list[int]:
    """Return a few places at which lines begin: there a run ends and another one goes on."""
    return [content.find(b"\n", tally.chance.randrange(len(content) // 2)) + 1 for _ in range(3)]


@pytest.mark.fault("clock put forward and back by an hour", fast=2, long=24)
def test_a_clock_that_jumps_splits_no_message(tally: Tally) -> None:
    for number in range(tally.rounds):
        lines = list(logged(0, MESSAGES, hosts=HOSTS, pace=60, long_ids=number % 2 == 0))
        first, second = sorted(tally.chance.sample(range(len(lines)), 2))
        shift = tally.chance.choice([HOUR, -HOUR])
        jumping = [line._replace(at=line.at + (shift if first <= at < second else 0)) for at, line in enumerate(lines)]
        stamped = traditional if number % 4 < 2 else rfc3339
        content = framed(jumping, stamped)
        found = without_times(Reading().read(content, stops_in(tally, content)).rows())
        wanted = without_times(Reading().read(framed(lines)).rows())
        if number % 2:  # an id that may come again tells nothing: lines before their message's arrival aren't its own
            torn = under_way(lines, first) | under_way(lines, second)
            found, wanted = ({k: v for k, v in rows.items() if k[2] not in torn} for rows in (found, wanted))
        else:  # the latest attempt is that with the latest time, which the clock has turned round
            torn = under_way(lines, first, " status=") | under_way(lines, second, " status=")
            found, wanted = (
                {k: v for k, v in rows.items() if k[2] not in torn or "delivery-to" not in k[0]}
                for rows in (found, wanted)
            )
        tally.injected += 1
        tally.compare(f"jump of {shift} s after {first}, back after {second}", found, wanted)
    tally.settle()


def under_way(lines: list[Logged], place: int, what: str = "") -> set[str]:
    """Return the queue ids that have lines with *what* in them both before and after *place*."""
    before, after = (
        {line.text.partition(":")[0] for line in part if what in line.text} for part in (lines[:place], lines[place:])
    )
    return before & after


def rfc3339(at: int) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%S+00:00}"


@pytest.mark.fault("change to summer time and back, stamps in local time", fast=2, long=24)
def test_local_stamps_over_the_change_of_time_give_the_true_times(tally: Tally) -> None:
    for number in range(tally.rounds):
        change = datetime(2026, 10, 25, 1, tzinfo=UTC) if number % 2 else datetime(2026, 3, 29, 1, tzinfo=UTC)
        start = int((change - timedelta(hours=tally.chance.uniform(1.2, 4))).timestamp())
        lines = list(logged(0, MESSAGES, hosts=HOSTS, start=start, pace=tally.chance.choice([90, 120, 240])))
        content = framed(lines, lambda at: traditional(at, BERLIN))
        now = datetime(2026, 11, 23, tzinfo=UTC)
        wanted = Reading(now=now).read(framed(lines, rfc3339)).rows()
        found = Reading("Europe/Berlin", now).read(content, stops_in(tally, content)).rows()
        tally.injected += 1
        tally.compare(f"change at {change}, log from {datetime.fromtimestamp(start, UTC)}", found, wanted)
    tally.settle()


@pytest.mark.fault("change of year, stamps without year", fast=2, long=24)
def test_stamps_without_year_over_new_year_give_the_true_times(tally: Tally) -> None:
    for _ in range(tally.rounds):
        year = tally.chance.randrange(2016, 2030)
        start = int(datetime(year, 12, 31, 22, tzinfo=UTC).timestamp()) - tally.chance.randrange(2 * HOUR)
        lines = list(logged(0, MESSAGES, hosts=HOSTS, start=start, pace=tally.chance.choice([120, 600])))
        for at, line in list(enumerate(lines[:-100])):  # some come a little late
            if "NOQUEUE" in line.text and tally.chance.random() < LATE:
                lines.insert(at + tally.chance.randrange(100), lines.pop(at))
        content = framed(lines)
        now = datetime(year + 1, 1, tally.chance.randrange(3, 30), tzinfo=UTC)
        wanted = Reading(now=now).read(framed(lines, rfc3339)).rows()
        found = Reading(now=now).read(content, stops_in(tally, content)).rows()
        tally.injected += 1
        tally.compare(f"log from {datetime.fromtimestamp(start, UTC)}", found, wanted)
    tally.settle()


def plain(lines: list[Logged]) -> bytes:
    """Return a traditional log of these lines and no others."""
    return "".join(
        f"{traditional(at)} {host} {program}[{pid}]: {text}\n" for at, host, program, pid, text in lines
    ).encode()


@pytest.mark.fault("two hosts in one log whose clocks disagree", fast=2, long=24)
def test_hosts_whose_clocks_disagree_have_the_rows_that_each_has_alone(tally: Tally) -> None:
    for _ in range(tally.rounds):
        skew = tally.chance.choice([-1, 1]) * tally.chance.randrange(1, 2 * HOUR)
        start = tally.chance.choice([START, int(datetime(2025, 12, 31, 23, tzinfo=UTC).timestamp())])
        pair = [
            [
                line._replace(at=line.at + shift)
                for line in logged(0, MESSAGES // 2, hosts=(host,), start=start, pace=60)
            ]
            for host, shift in (("mx1", 0), ("mx2", skew))
        ]
        together: list[Logged] = []
        left = [iter(lines) for lines in pair]
        while left:
            taken = tally.chance.choice(left)
            some = list(islice(taken, tally.chance.randrange(1, 30)))
            together += some
            if not some:
                left.remove(taken)
        now = datetime(2026, 11, 23, tzinfo=UTC)
        wanted = Reading(now=now).read(plain(pair[0])).rows() | Reading(now=now).read(plain(pair[1])).rows()
        content = plain(together)
        found = Reading(now=now).read(content, stops_in(tally, content)).rows()
        tally.injected += 1
        tally.compare(f"skew {skew} s", found, wanted)
    tally.settle()
