"""All the peers of one lab: Postfix's own smtp-sink for what fails, servers of ours for what is taken."""

import shutil
import socketserver
import subprocess
import threading
from collections import Counter
from contextlib import ExitStack
from types import TracebackType
from typing import Final, Self

from lab.content_filter import FilterServer
from lab.milter import MilterServer
from lab.ports import free_ports
from lab.smtp_peer import PeerServer

_SINKS: Final = {"soft": ("-r", "rcpt"), "hard": ("-f", "rcpt"), "data": ("-f", "."), "drop": ("-q", "rcpt")}


class Peers:
    """Starts and ends them. A context manager; `ports` says where each listens."""

    def __init__(self) -> None:
        self.smtp = PeerServer()
        self.lmtp = PeerServer(lmtp=True)
        self.filter = FilterServer()
        self.milter = MilterServer()
        self.ports: dict[str, int] = {}
        self._ends = ExitStack()

    def __enter__(self) -> Self:
        servers: dict[str, PeerServer | FilterServer | MilterServer] = {
            "smtp": self.smtp, "lmtp": self.lmtp, "filter": self.filter, "milter": self.milter
        }  # fmt: skip
        for name, server in servers.items():
            self.ports[name] = server.port
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
            self._ends.callback(_stop, server)
        program = shutil.which("smtp-sink", path="/usr/sbin:/usr/bin:/sbin:/bin")
        assert program is not None, "Postfix's smtp-sink is not installed"
        # A listening socket that nobody accepts from: clients connect and never see a greeting.
        tar = socketserver.TCPServer(("127.0.0.1", 0), socketserver.BaseRequestHandler)
        self._ends.callback(tar.server_close)
        self.ports["tar"] = tar.server_address[1]
        *sinks, self.ports["refused"] = free_ports(len(_SINKS) + 1)
        for (name, options), port in zip(_SINKS.items(), sinks, strict=True):
            words = [program, "-u", "nobody", *options, f"127.0.0.1:{port}", "100"]
            process = subprocess.Popen(words, stdin=subprocess.DEVNULL)
            self._ends.callback(_end, process)
            self.ports[name] = port
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ends.close()

    def taken(self) -> Counter[tuple[str, str]]:
        """Return how often mail of a sender for a recipient was taken, by both protocols."""
        return self.smtp.taken + self.lmtp.taken


def _stop(server: socketserver.TCPServer) -> None:
    server.shutdown()
    server.server_close()


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(30)
