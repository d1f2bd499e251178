"""A real journald without systemd as the first process, in namespaces of its own: the machine's is untouched."""

import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from lab.namespace import Namespace, NamespaceError

PROGRAM: Final = "/lib/systemd/systemd-journald"

# /run and /dev are hidden by empty ones: the journal, its sockets and /dev/log exist in here only.
_SETUP: Final = """
set -e
mount --make-rprivate /
mkdir {root}/dev
mount -t tmpfs -o mode=755 lab {root}/dev
for name in null zero full random urandom tty; do
    touch {root}/dev/$name
    mount --bind /dev/$name {root}/dev/$name
done
mkdir -m 1777 {root}/dev/shm
ln -s /proc/self/fd {root}/dev/fd
ln -s /proc/self/fd/0 {root}/dev/stdin
ln -s /proc/self/fd/1 {root}/dev/stdout
ln -s /proc/self/fd/2 {root}/dev/stderr
ln -s /run/systemd/journal/dev-log {root}/dev/log
mount --rbind {root}/dev /dev
mount -t tmpfs -o mode=755 lab /run
mkdir -p /run/lock /run/systemd/journal /run/systemd/journald.conf.d /run/log/journal
cat >/run/systemd/journald.conf.d/lab.conf <<'END'
[Journal]
Storage=volatile
RateLimitIntervalSec=0
ReadKMsg=no
Audit=no
END
if [ ! -s /etc/machine-id ]; then
    echo 0123456789abcdef0123456789abcdef >{root}/machine-id
    touch /etc/machine-id
    mount --bind {root}/machine-id /etc/machine-id
fi
"""


def why_not() -> str:
    """Return why no journald can be run here; empty if it can."""
    if not Path(PROGRAM).exists() or shutil.which("journalctl") is None:
        return "systemd's journald is not installed (tests/debian-packages.txt has what to install)"
    try:
        with Namespace("mount --make-rprivate /", ("--uts", "--mount"), needed=True):
            return ""
    except NamespaceError as error:
        return str(error)


class Journald:
    """A running journald. A context manager; programs in its `namespace` log to it and read it."""

    def __init__(self) -> None:
        self._root = Path(tempfile.mkdtemp(prefix="journald-lab-"))
        self._process: subprocess.Popen[bytes] | None = None
        self.namespace = Namespace(_SETUP.format(root=self._root), ("--uts", "--mount"), needed=True)

    def __enter__(self) -> Self:
        try:
            self.namespace.__enter__()
            self._process = subprocess.Popen(self.namespace.command(PROGRAM), stderr=subprocess.DEVNULL)
            self._wait()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _wait(self) -> None:
        assert self._process is not None
        ready = "until test -S /run/systemd/journal/dev-log && logger --tag lab ready; do sleep 0.05; done"
        subprocess.run(self.namespace.command("timeout", "30", "sh", "-c", ready), check=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.terminate()  # nsenter has become journald
            self._process.wait(30)
        self.namespace.__exit__(None, None, None)
        shutil.rmtree(self._root)

    def lines(self) -> bytes:
        """Return what is in the journal, as lines of a traditional log."""
        subprocess.run(self.namespace.command("journalctl", "--sync"), check=False, capture_output=True, timeout=30)
        words = self.namespace.command("journalctl", "--quiet", "--no-pager", "--all", "--output=short", "--utc")
        return subprocess.run(words, check=True, capture_output=True, timeout=60).stdout
