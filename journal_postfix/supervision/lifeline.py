"""A stage never outlives ``up``: a pipe that only ``up`` holds open tells it when ``up`` is gone, however it went."""

import os
import select
import signal
import threading
from collections.abc import MutableMapping
from typing import Final

VARIABLE: Final = "_JOURNAL_POSTFIX_LIFELINE"
"""Environment variable that holds the file descriptor of the pipe's reading end."""
GRACE_SECONDS: Final = 20.0
"""How long a stage may take to stop cleanly without ``up``, whose broker and database may be gone too."""


def hold_on(environment: MutableMapping[str, str] = os.environ, grace: float = GRACE_SECONDS) -> None:
    """Stop this process when the one that started it is gone: SIGTERM first, its end after *grace* seconds.

    Does nothing in a process that was not started by ``up``.
    """
    descriptor = environment.pop(VARIABLE, None)
    if descriptor is None:
        return
    os.set_inheritable(int(descriptor), False)  # noqa: FBT003 - the signature is os's
    threading.Thread(target=_watch, args=(int(descriptor), grace), name="lifeline", daemon=True).start()


def _watch(descriptor: int, grace: float) -> None:
    while os.read(descriptor, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    # Another wait for the end of a pipe that has ended would return at once: no descriptors, only the time-out.
    select.select([], [], [], grace)
    os._exit(128 + signal.SIGTERM)
