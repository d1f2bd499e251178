"""A host name of the lab's own: programs run in a namespace of their own, and the machine keeps its name."""

import os
import socket
import subprocess
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

HOST: Final = "mx1"

_HOLD: Final = f"hostname {HOST} && {{0}} echo ready && read -r _"


class Namespace:
    """A process that holds the namespaces, and commands that run in them. A context manager."""

    def __init__(self, setup: str = "", kinds: Sequence[str] = ("--uts",), *, needed: bool = False) -> None:
        """Prepare a namespace in which the shell commands *setup* are run first.

        Where the machine allows none and it is not *needed*, commands run as they are, under the machine's name.
        """
        self._setup = f"{{ {setup}\n}} &&" if setup else ""
        self._kinds = tuple(kinds)
        self._needed = needed
        self._holder: subprocess.Popen[str] | None = None

    @property
    def host(self) -> str:
        """The host name that programs in it see."""
        return HOST if self._holder is not None else socket.gethostname()

    def __enter__(self) -> Self:
        holder = subprocess.Popen(
            ["unshare", *self._kinds, "--", "sh", "-c", _HOLD.format(self._setup)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if self._needed else subprocess.DEVNULL,
            text=True,
        )
        assert holder.stdout is not None
        if holder.stdout.readline() == "ready\n":
            self._holder = holder
            return self
        _, said = holder.communicate()
        if self._needed:
            raise NamespaceError(f"no namespace of our own ({', '.join(self._kinds)}): {(said or '').strip()}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._holder is not None:
            self._holder.communicate("end\n", timeout=30)
            self._holder = None

    def command(self, *words: str | os.PathLike[str]) -> list[str]:
        """Return the command line that runs *words* inside."""
        if self._holder is None:
            return [os.fspath(word) for word in words]
        return ["nsenter", f"--target={self._holder.pid}", *self._kinds, "--", *(os.fspath(word) for word in words)]


class NamespaceError(RuntimeError):
    """The machine allows no namespaces of our own."""
