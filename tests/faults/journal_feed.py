"""A real journald that is fed by a process of the test's own: what was logged is known, entry for entry."""

import subprocess
import sys
from collections import Counter
from types import TracebackType
from typing import Final, Self

from lab.journald import Journald

_PROGRAM: Final = """
import sys
from systemd import journal
for order in sys.stdin:
    first, last = map(int, order.split())
    for n in range(first, last):
        journal.send(f"A{n:09X}: client=c.test[192.0.2.9]", SYSLOG_IDENTIFIER="postfix/smtpd", PRIORITY="6")
        if n % 10 == 0:
            journal.send("disconnect from c.test[192.0.2.9]", SYSLOG_IDENTIFIER="postfix/smtpd", PRIORITY="6")
            journal.send("something else", SYSLOG_IDENTIFIER="sshd", PRIORITY="6")
    print("done", flush=True)
"""


class Feed:
    """Logs to *journald*. A context manager."""

    def __init__(self, journald: Journald) -> None:
        """Log nothing yet."""
        self.journald = journald
        self.next = 0
        """The number of the next entry."""
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self.journald.namespace.command(sys.executable, "-c", _PROGRAM),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._process.communicate(timeout=30)

    def log(self, entries: int) -> None:
        """Log that many more entries, and wait until journald has taken them."""
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{self.next} {self.next + entries}\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "done\n"
        self.next += entries

    def texts(self) -> Counter[bytes]:
        """Return how often each text of Postfix's was logged."""
        texts = Counter({b"A%09X: client=c.test[192.0.2.9]" % n: 1 for n in range(self.next)})
        texts[b"disconnect from c.test[192.0.2.9]"] = len(range(0, self.next, 10))
        return texts

    def journalctl(self, *words: str) -> str:
        """Run ``journalctl`` there and return what it prints."""
        command = self.journald.namespace.command("journalctl", *words)
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
