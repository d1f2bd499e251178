import os
import signal
import threading

import pytest

from journal_postfix.interrupts import interruptible


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)])
def test_a_signal_asks_to_stop_and_raises_nothing(number: signal.Signals, code: int) -> None:
    with interruptible() as interruption:
        assert not interruption.stop.is_set()
        os.kill(os.getpid(), number)
        assert interruption.stop.wait(10)
        assert interruption.exit_code() == code


def test_what_nohup_has_begun_goes_on_when_its_terminal_is_closed() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interruptible() as interruption:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not interruption.stop.wait(0.5)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_second_signal_is_told_apart() -> None:
    first, second = threading.Event(), threading.Event()
    with interruptible() as interruption:
        interruption.on_first, interruption.on_second = first.set, second.set
        os.kill(os.getpid(), signal.SIGINT)
        assert first.wait(10)
        assert not second.is_set()
        os.kill(os.getpid(), signal.SIGTERM)
        assert second.wait(10)
        assert interruption.exit_code() == 130


def test_signals_do_afterwards_what_they_did_before() -> None:
    before = signal.getsignal(signal.SIGINT)
    with interruptible():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
