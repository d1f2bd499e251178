from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from web.searches.windows import windows

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.mark.parametrize("newest", [None, NOON, NOON - 900 * HOUR])
@pytest.mark.parametrize("since", [None, NOON - HOUR / 2, NOON - HOUR, NOON - 100 * HOUR, NOON - 99_999 * HOUR])
@pytest.mark.parametrize("until", [None, NOON - HOUR / 2, NOON + 5 * HOUR])
@pytest.mark.parametrize("days", [0, 3, 1e300])
def test_windows_follow_each_other_and_leave_nothing_out(
    newest: datetime | None, since: datetime | None, until: datetime | None, days: float
) -> None:
    found = list(windows(newest, since, until, days))
    assert found[0][1] == until
    assert found[-1][0] == since
    assert all(later[0] == earlier[1] for later, earlier in pairwise(found))
    assert len(found) <= 7


def test_the_first_window_is_an_hour_and_holds_what_a_wrong_clock_says_is_later() -> None:
    assert next(windows(NOON, NOON - 24 * HOUR, None)) == (NOON - HOUR, None)
    assert next(windows(NOON, NOON - 24 * HOUR, NOON - 3 * HOUR)) == (NOON - 4 * HOUR, NOON - 3 * HOUR)


def test_the_first_window_is_longer_where_rows_are_rare() -> None:
    assert next(windows(NOON, NOON - 999 * HOUR, None, days=2)) == (NOON - 48 * HOUR, None)


@pytest.mark.parametrize(("times", "hours"), [(None, 12), (0.1, 1), (4, 6), (1000, 12)])
def test_the_next_is_as_long_as_it_takes_to_find_the_rest(times: float | None, hours: int) -> None:
    first, second, *_ = windows(NOON, NOON - 999 * HOUR, None, times=lambda: times)
    assert second == (first[0] - hours * HOUR, first[0])
