"""Keeps the embedded parts running: what ends by itself is started again, at the same address."""

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final, Protocol

from schemas.errors import JournalPostfixError

_LOOK_SECONDS: Final = 0.5
_LONGEST_DELAY: Final = 30.0

_log = logging.getLogger(__name__)


class Part(Protocol):
    """A server that can be started and stopped any number of times."""

    name: str
    """What people call it."""

    @property
    def running(self) -> bool:
        """Whether its process is there."""

    def start(self) -> None:
        """Start it; return when it answers. Raises JournalPostfixError."""

    def stop(self) -> None:
        """End it. Does nothing where it does not run."""


@contextmanager
def kept(parts: Sequence[Part]) -> Iterator[None]:
    """Start *parts* at once, keep them running while the block lasts, and stop them. Raises JournalPostfixError."""
    ending = threading.Event()
    keeper = threading.Thread(target=_keep, args=(parts, ending), name="keeper", daemon=True)
    try:
        _all_at_once(parts, "start")
        keeper.start()
        yield
    finally:
        ending.set()
        _all_at_once(parts, "stop")
        if keeper.ident is not None:
            keeper.join()
            _all_at_once(parts, "stop")  # it may have been starting one


def _all_at_once(parts: Sequence[Part], what: str) -> None:
    if not parts:
        return
    with ThreadPoolExecutor(len(parts)) as pool:
        calls = [pool.submit(getattr(part, what)) for part in parts]
    for call in calls:
        call.result()


def _keep(parts: Sequence[Part], ending: threading.Event) -> None:
    delays = dict.fromkeys((part.name for part in parts), 0.0)
    due = dict.fromkeys(delays, 0.0)
    while not ending.wait(_LOOK_SECONDS):
        for part in parts:
            if part.running or time.monotonic() < due[part.name]:
                continue
            _log.warning("%s has ended by itself; starting it again", part.name)
            try:
                part.start()
                delays[part.name] = 0.0
            except JournalPostfixError as error:
                if ending.is_set():
                    return
                delays[part.name] = min(_LONGEST_DELAY, 2 * delays[part.name] or 1.0)
                due[part.name] = time.monotonic() + delays[part.name]
                _log.error("%s; trying again in %g s", error, delays[part.name])
