"""A small HTTP server for figures and probes: a few connections at a time, none of them for long."""

import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import BaseServer, TCPServer, ThreadingMixIn
from typing import Any, Final, NamedTuple

import structlog

log: structlog.stdlib.BoundLogger = structlog.get_logger()

MOST_CONNECTIONS: Final = 16
LONGEST_SECONDS: Final = 10.0
"""How long a connection may last, whatever its client does meanwhile."""
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class Answer(NamedTuple):
    """What a page is at the moment."""

    body: bytes
    status: HTTPStatus = HTTPStatus.OK


Pages = Mapping[str, Callable[[], Answer]]
"""By path. A page is made in a thread of its own for each request."""


class Server(ThreadingMixIn, TCPServer):
    """Serves *pages* at an address. One connection more than there may be is closed without an answer."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 16

    def __init__(self, address: tuple[str, int], pages: Pages) -> None:
        """Bind *address*. Raises OSError."""
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        self._open: dict[Any, float] = {}
        self._lock = threading.Lock()
        super().__init__(address, _handler(pages))

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ARG002 - the library's signature
        """Take a connection, unless there are too many."""
        with self._lock:
            if len(self._open) >= MOST_CONNECTIONS:
                return False
            self._open[request] = time.monotonic()
        return True

    def service_actions(self) -> None:
        """End connections that last too long; called twice a second."""
        with self._lock:
            late = [request for request, since in self._open.items() if time.monotonic() - since > LONGEST_SECONDS]
        for request in late:
            with suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)

    def shutdown_request(self, request: Any) -> None:
        """End a connection."""
        super().shutdown_request(request)
        with self._lock:
            self._open.pop(request, None)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """Say what went wrong, as everything is said here; a client that went away is nothing to tell."""
        log.debug("a request for metrics was not answered", why=repr(sys.exception()))


def _handler(pages: Pages) -> type[BaseHTTPRequestHandler]:
    known = "".join(f"{path}\n" for path in pages).encode()

    class Handler(BaseHTTPRequestHandler):
        timeout = LONGEST_SECONDS
        server_version = "journal-postfix"
        sys_version = ""

        def do_GET(self) -> None:
            page = pages.get(self.path.partition("?")[0])
            if page is None:
                self._answer(Answer(known, HTTPStatus.NOT_FOUND))
                return
            try:
                answer = page()
            except Exception:
                log.warning("no metrics", exc_info=True)
                answer = Answer(b"failed; the log says why\n", HTTPStatus.INTERNAL_SERVER_ERROR)
            self._answer(answer)

        def do_HEAD(self) -> None:
            self.do_GET()

        def _answer(self, answer: Answer) -> None:
            self.send_response(answer.status)
            self.send_header("Content-Type", CONTENT_TYPE)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the library's
            """Say nothing of each request."""

    return Handler


def served(server: BaseServer) -> threading.Thread:
    """Serve in a thread of its own, which this returns, until the server is shut down."""
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    return thread
