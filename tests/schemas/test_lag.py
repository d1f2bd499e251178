"""A lag is 0 where nothing waits, and otherwise as old as what waits longest may be."""

from schemas.lag import Lag


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_where_nothing_waits_there_is_no_lag_however_long_ago_the_last_record_came() -> None:
    clock = Clock()
    lag = Lag(clock)
    lag.measure(end=7, done=7, done_at=10.0)
    clock.now += 3600
    assert (lag.records, lag.seconds) == (0, 0.0)


def test_a_record_that_comes_after_hours_of_silence_has_not_waited_for_hours() -> None:
    clock = Clock()
    lag = Lag(clock)
    lag.measure(end=7, done=7, done_at=10.0)
    clock.now += 3600
    lag.measure(end=7, done=7, done_at=10.0)
    clock.now += 2
    lag.measure(end=8, done=7, done_at=10.0)
    assert (lag.records, lag.seconds) == (1, 2.0)


def test_a_backlog_is_as_old_as_the_record_that_was_done_last() -> None:
    clock = Clock()
    lag = Lag(clock)
    lag.measure(end=100, done=40)
    clock.now += 10
    assert (lag.records, lag.seconds) == (60, 10.0)  # since when it waits is not known yet
    lag.measure(end=100, done=90, done_at=400.0)
    assert (lag.records, lag.seconds) == (10, 610.0)
    lag.measure(end=100, done=100, done_at=1009.0)
    assert (lag.records, lag.seconds) == (0, 0.0)


def test_markers_of_transactions_that_were_passed_over_do_not_count() -> None:
    lag = Lag(Clock())
    lag.measure(end=7, done=8)
    assert lag.records == 0
