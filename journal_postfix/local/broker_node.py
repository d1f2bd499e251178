"""One Apache Kafka process: its folder, its format, its start and its end."""

import base64
import os
import subprocess
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from journal_postfix.local.broker_config import Node, java_command, server_properties
from journal_postfix.local.guarded import Command, GuardedProcess
from schemas.errors import TryAgainLaterError

START_SECONDS: Final = 90.0
"""How long a broker may take to answer: recovery after a crash reads what was written last."""
STOP_SECONDS: Final = 30.0


def new_cluster_id() -> str:
    """Return a fresh id as Kafka makes them: 22 characters of URL-safe base64, not beginning with a dash."""
    while (text := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")).startswith("-"):
        pass
    return text


class BrokerNode:
    """A node that can be started and stopped any number of times; its data stays in *folder*."""

    def __init__(self, folder: Path, java: Path, jars: Path, options: Sequence[str]) -> None:
        self._folder, self._java, self._jars, self._options = folder, java, jars, options
        self._process: GuardedProcess | None = None

    @property
    def pid(self) -> int | None:
        """Process id of Java, while it runs."""
        return self._process.pid if self.running and self._process else None

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.exit_code() is None

    def start(self, node: Node, nodes: Sequence[Node], cluster_id: str, lock: int) -> None:
        """Start the process, which holds *lock* too; it is not ready yet. Raises TryAgainLaterError and OSError."""
        data, properties = self._folder / "data", self._folder / "server.properties"
        scratch = self._folder / "tmp"
        scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
        properties.write_text(server_properties(node, nodes, data), encoding="ascii")
        if not (data / "meta.properties").exists():
            self._format(properties, cluster_id, scratch)
        self._process = GuardedProcess(self._command(properties, scratch), lock)

    def _command(self, properties: Path, scratch: Path) -> Command:
        main = ("kafka.Kafka", str(properties))
        return Command(
            arguments=java_command(self._java, self._options, self._jars, scratch, main),
            environment=_environment(),
            directory=self._folder,
            log=self._folder / "broker.log",
            grace_seconds=STOP_SECONDS,
        )

    def _format(self, properties: Path, cluster_id: str, scratch: Path) -> None:
        main = ("kafka.tools.StorageTool", "format", "--ignore-formatted", "-t", cluster_id, "-c", str(properties))
        done = subprocess.run(  # noqa: S603 - the java that was found, our arguments
            java_command(self._java, ["-Xmx128m"], self._jars, scratch, main),
            env=_environment(),
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
        if done.returncode != 0:
            raise TryAgainLaterError(
                f"Apache Kafka could not prepare {self._folder}: {_last_lines(done.stdout) or done.returncode}"
            )

    def check_alive(self) -> None:
        """Raise TryAgainLaterError, with what its log says, where the process has ended."""
        if self._process is None or (code := self._process.exit_code()) is None:
            return
        said = self._process.said() or "nothing"
        raise TryAgainLaterError(
            f"the embedded broker ended with code {code}; its log {self._folder / 'broker.log'} says: {said}"
        )

    def too_slow(self, seconds: float) -> TryAgainLaterError:
        """Return the error for a broker that does not answer in time."""
        said = (self._process.said() if self._process else "") or "nothing"
        return TryAgainLaterError(
            f"the embedded broker does not answer after {seconds:.0f} s; its log {self._folder / 'broker.log'} "
            f"says: {said}"
        )

    def pause(self, seconds: float) -> None:
        """Wait so long, or until the process ends."""
        if self._process is not None:
            self._process.wait(seconds)
        else:
            time.sleep(seconds)

    def stop(self) -> None:
        """End the process cleanly."""
        if self._process is not None:
            self._process.stop()

    def kill(self) -> None:
        """End the process as a crash would."""
        if self._process is not None:
            self._process.kill()


def _environment() -> Mapping[str, str]:
    """Return what Java needs of our environment; settings and secrets of ours are none of its business."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TZ") if name in os.environ}
    return kept | {"LC_ALL": "C.UTF-8"}  # so that it finds files whose names are not ASCII


def _last_lines(text: str) -> str:
    return " | ".join(line for line in text.splitlines()[-4:] if not line.startswith("\tat "))
