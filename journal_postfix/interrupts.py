"""Ctrl-C and SIGTERM as an event that work can look at, instead of an exception anywhere."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from journal_postfix.failures import INTERRUPTED, TERMINATED

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interruption:
    """Whether, and by what, this process was asked to stop."""

    def __init__(self) -> None:
        self.stop: Final = threading.Event()
        self.signal: int | None = None
        self.on_first: Callable[[], None] | None = None
        """Called in another thread when asked to stop."""
        self.on_second: Callable[[], None] | None = None
        """Called for each further signal: somebody is in a hurry."""

    def exit_code(self) -> int:
        """Return the exit code of work that was not finished for it."""
        return INTERRUPTED if self.signal == signal.SIGINT else TERMINATED

    def asked(self, number: int) -> None:
        """Take signal *number*."""
        again = self.stop.is_set()
        if not again:
            self.signal = number
            self.stop.set()
        call = self.on_second if again else self.on_first
        if call is not None:
            call()


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """Turn the signals that ask to stop into an `Interruption`. Only in the main thread."""
    interruption = Interruption()
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    # An event set in a signal handler can deadlock with the wait that the signal came into: a thread sets it.
    listener = threading.Thread(target=_listen, args=(reading, interruption), name="signals", daemon=True)
    # What nohup has begun is to outlive its terminal.
    heard = [number for number in _SIGNALS if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, _heard) for number in heard}
    descriptor = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    listener.start()
    try:
        yield interruption
    finally:
        signal.set_wakeup_fd(descriptor)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(writing)
        listener.join()
        os.close(reading)


def _heard(_number: int, _frame: FrameType | None) -> None:
    """Do nothing here: the number went into the pipe."""


def _listen(descriptor: int, interruption: Interruption) -> None:
    while numbers := os.read(descriptor, 64):
        for number in numbers:
            if number in _SIGNALS:
                interruption.asked(number)
