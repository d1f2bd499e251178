import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from rich.cells import cell_len

from journal_postfix.mail_statistics import MailStatistics, as_record
from journal_postfix.rendering.mail_statistics import size_text, sparkline, statistics_lines
from web.searches.offenders import FailingDomain, RefusedClient, SlowDomain
from web.searches.records import json_line
from web.searches.statistics import Delays, HostTotals, Moment, Reason, Totals

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOSTILE = "evil\x1b[31m\r\n\u202etxt" * 20


def found(**changes: Any) -> MailStatistics:
    mail = MailStatistics(
        since=NOON,
        until=NOON + timedelta(hours=2),
        host=None,
        totals=Totals(
            messages=1_234_567,
            bytes=98_765_432_100,
            deliveries={"sent": 1_300_000, "deferred": 90_000, "bounced": 10_000},
            refused=5,
            exact=True,
            delays=Delays(1_300_000, 2.5, {"1s": 650_000, "1h": 1_300_000}),
        ),
        step="hour",
        series=[
            Moment(NOON, 1_000_000, 9, 1_000_000, 80_000, 0, 5),
            Moment(NOON + timedelta(hours=1), 234_567, 9, 300_000, 10_000, 10_000, 0),
        ],
        hosts=[HostTotals("mx1", 7, 9, 1, 2, 3, 4), HostTotals("mx2", 7, 9, 1, 2, 3, 4)],
        failing_domains=[FailingDomain("two.test", 90_000, 10_000, "deferred", NOON, "mailbox-full", "452 full", "mx")],
        slow_domains=[SlowDomain("slow.test", 7, 5400.0)],
        reject_reasons=[Reason("reject", "unknown-user", 3), Reason("hold", "", 2)],
        refused_clients=[RefusedClient("192.0.2.7", None, 3)],
    )
    return msgspec.structs.replace(mail, **changes)


def lines(mail: MailStatistics, width: int = 80) -> list[str]:
    return [line.plain.rstrip() for line in statistics_lines(mail, width)]


def test_a_postmaster_reads_what_there_was() -> None:
    shown = lines(found())
    assert shown[1:6] == [
        "messages        1,234,567    98.8 GB  █▂",
        "sent            1,300,000      92.9%  █▃",
        "deferred           90,000       6.4%  █▂",
        "bounced            10,000       0.7%   █",
        "refused                 5             █",
    ]
    assert shown[6] == "Sent in 2.5 s on average; 1s 50%, 1h 100%"
    text = "\n".join(shown)
    assert "two.test" in text
    assert "    452 full" in shown
    assert "1.5 h" in text
    assert "(not known)" in text


def test_a_hundred_percent_were_in_time_only_where_all_were() -> None:
    delays = Delays(1000, 2.5, {"1s": 4, "1min": 997, "1h": 1000})
    shown = lines(found(totals=msgspec.structs.replace(found().totals, delays=delays)))
    assert "Sent in 2.5 s on average; 1s 0%, 1min 99%, 1h 100%" in shown


def test_lists_of_all_hosts_say_so_where_one_host_is_asked_for() -> None:
    assert sum("OF ALL HOSTS" in line for line in lines(found(host="mx1"))) == 3
    assert "OF ALL HOSTS" not in "\n".join(lines(found()))


def test_what_is_not_exact_is_said() -> None:
    totals = msgspec.structs.replace(found().totals, exact=False)
    assert "Expired, deleted and held are messages" in "\n".join(lines(found(totals=totals)))
    assert "Expired" not in "\n".join(lines(found()))


@pytest.mark.parametrize("width", [40, 80, 200])
def test_hostile_text_neither_leaves_its_line_nor_reaches_the_terminal(width: int) -> None:
    mail = found(
        host=HOSTILE,
        hosts=[HostTotals(HOSTILE, 7, 9, 1, 2, 3, 4)] * 2,
        failing_domains=[FailingDomain(HOSTILE, 1, 1, HOSTILE, NOON, HOSTILE, HOSTILE, HOSTILE)],
        slow_domains=[SlowDomain(HOSTILE, 7, 1e9)],
        reject_reasons=[Reason(HOSTILE, HOSTILE, 10**12)],
        refused_clients=[RefusedClient(HOSTILE, HOSTILE, 3)],
    )
    shown = lines(mail, width)
    assert not any(character in line for line in shown for character in "\x1b\r\n\u202e")
    if width >= 80:
        assert max(map(cell_len, shown)) <= width
    assert "\x1b" not in json_line(as_record(mail))


def test_json_has_every_time_in_utc() -> None:
    berlin = timezone(timedelta(hours=1))
    mail = found(failing_domains=[FailingDomain("two.test", 1, 0, "deferred", NOON.astimezone(berlin))])
    record = json.loads(json_line(as_record(mail)))
    assert record["since"] == record["failing_domains"][0]["arrived_at"] == "2026-11-23T12:00:00.000000Z"
    assert record["totals"]["deliveries"] == {"sent": 1_300_000, "deferred": 90_000, "bounced": 10_000}
    assert record["series"][0]["messages"] == 1_000_000


@pytest.mark.parametrize(
    ("numbers", "width", "shown"),
    [
        ([], 9, ""),
        ([1, 2], 0, ""),
        ([0, 0], 9, "  "),
        ([0, 1, 8], 9, " ▂█"),
        ([8, 8, 0, 0, 4, 4], 3, "█ ▅"),
    ],
)
def test_a_course_fits_and_its_highest_bar_is_its_most(numbers: list[int], width: int, shown: str) -> None:
    assert sparkline(numbers, width) == shown


@pytest.mark.parametrize(("number", "text"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (2 * 10**18, "2,000.0 PB")])
def test_sizes_are_short(number: int, text: str) -> None:
    assert size_text(number) == text
