"""Whether the embedded Kafka and PostgreSQL still run: without them the stages would try in vain for ever."""

import socket
import time
from typing import Final

from schemas.errors import JournalPostfixError
from schemas.settings import Settings

_AGAIN_SECONDS: Final = 0.5
"""After what time to knock a second time where nobody answered."""


class Embedded:
    """The embedded parts of a running ``up``."""

    def __init__(self, given: Settings, complete: Settings, every: float = 3.0) -> None:
        """Take the settings without and with the addresses of the embedded parts; knock every so many seconds."""
        self._parts: dict[str, tuple[str, int] | str] = {}
        self._data_dir = complete.data_dir
        self._due = 0.0
        self._every = every
        self._suspected: set[str] = set()
        if given.kafka.bootstrap_servers is None and complete.kafka.bootstrap_servers is not None:
            host, _, port = complete.kafka.bootstrap_servers.rpartition(":")
            self._parts["Kafka"] = (host, int(port))
        if given.database.host is None and complete.database.host is not None:
            self._parts["PostgreSQL"] = f"{complete.database.host}/.s.PGSQL.{complete.database.port}"

    def check(self) -> None:
        """Knock now and then. Raises JournalPostfixError where nobody is there any more."""
        if time.monotonic() < self._due:
            return
        gone = {name for name, address in self._parts.items() if not _somebody_listens(address)}
        for name in gone & self._suspected:
            raise JournalPostfixError(
                f"the embedded {name} has died: see its log in {self._data_dir}; nothing is lost, start again"
            )
        self._suspected = gone
        self._due = time.monotonic() + (_AGAIN_SECONDS if gone else self._every)


def _somebody_listens(address: tuple[str, int] | str) -> bool:
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as knocking:
        knocking.settimeout(1.0)
        try:
            knocking.connect(address)
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:  # busy
            return True
    return True
