"""A proxy between a stage and its server that can cut connections anywhere, and hold them up."""

import random
import selectors
import socket
import struct
import threading
from contextlib import suppress
from typing import Final, Self

_RESET: Final = struct.pack("ii", 1, 0)
_PIECE: Final = 16 * 1024


class Proxy(threading.Thread):
    """Listens on a port of loopback and passes bytes to the socket at a path. A context manager."""

    def __init__(self, target: str, chance: random.Random) -> None:
        super().__init__(daemon=True)
        self.cuts = 0
        """Connections that were cut amid what they carried."""
        self._target, self._chance = target, chance
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: Final[int] = self._listener.getsockname()[1]
        self._ended = threading.Event()
        self._left: int | None = None
        """Bytes until the next cut; None: none is meant."""
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._listener.close()
        self.join(10)

    def cut_after(self, count: int) -> None:
        """Reset the connection that carries the *count*-th byte from now, in either direction."""
        with self._lock:
            self._left = count

    def run(self) -> None:
        self._listener.settimeout(0.2)
        while not self._ended.is_set():
            with suppress(TimeoutError):
                try:
                    client, _ = self._listener.accept()
                except OSError as error:
                    if isinstance(error, TimeoutError):
                        raise
                    return
                threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with client, server, suppress(OSError), selectors.DefaultSelector() as ready:
            server.connect(self._target)
            ready.register(client, selectors.EVENT_READ, server)
            ready.register(server, selectors.EVENT_READ, client)
            while not self._ended.is_set():
                for key, _ in ready.select(0.2):
                    source, sink = key.fileobj, key.data
                    assert isinstance(source, socket.socket)
                    piece = source.recv(_PIECE)
                    if not piece:
                        return
                    allowed = self._allowed(len(piece))
                    sink.sendall(piece[:allowed])
                    if allowed < len(piece):
                        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                        return

    def _allowed(self, count: int) -> int:
        with self._lock:
            if self._left is None:
                return count
            if count <= self._left:
                self._left -= count
                return count
            allowed, self._left = self._left, None
            self.cuts += 1
            return allowed
