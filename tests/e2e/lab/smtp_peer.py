"""The other mail host: an SMTP or LMTP server that takes, refuses or keeps waiting, by the recipient's domain."""

import socketserver
import threading
from collections import Counter
from typing import Final

from lab.destinations import FAKED_REFUSAL, FAKED_REPLY

_GREYLISTED: Final = "later.test"


class PeerServer(socketserver.ThreadingTCPServer):
    """Listens on a loopback port of its own and remembers what it took."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 200

    def __init__(self, *, lmtp: bool = False) -> None:
        """Bind a free port; the server answers once `serve_forever` runs."""
        super().__init__(("127.0.0.1", 0), _Session)
        self.lmtp = lmtp
        self.lock = threading.Lock()
        self.taken: Counter[tuple[str, str]] = Counter()
        """How often mail of this sender for this recipient was taken."""
        self.offered: Counter[tuple[str, str]] = Counter()
        """How often a recipient was named by a client."""

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self.server_address[1])


class _Session(socketserver.StreamRequestHandler):
    server: PeerServer

    def handle(self) -> None:
        self._say("220 peer.example ESMTP")
        self._sender, self._recipients = "", list[str]()
        while line := self.rfile.readline():
            command = line.decode("utf-8", "replace").strip()
            verb = command.partition(" ")[0].upper()
            if verb in {"EHLO", "LHLO"}:
                self._say("250-peer.example", "250-SMTPUTF8", "250-8BITMIME", "250 ENHANCEDSTATUSCODES")
            elif verb == "MAIL":
                self._sender, self._recipients = _address(command), []
                self._say("250 2.1.0 Ok")
            elif verb == "RCPT":
                self._recipient(_address(command))
            elif verb == "DATA":
                self._data()
            elif verb == "QUIT":
                self._say("221 2.0.0 Bye")
                return
            else:
                self._say("250 2.0.0 Ok")

    def _recipient(self, recipient: str) -> None:
        peer, domain = self.server, recipient.rpartition("@")[2].lower()
        with peer.lock:
            peer.offered[self._sender, recipient] += 1
            offered = peer.offered[self._sender, recipient]
        if domain == "fake.test":
            self._say(f"550 {FAKED_REFUSAL}")
        elif domain == _GREYLISTED and offered == 1:
            self._say("450 4.2.0 Greylisted; come back (later)")
        else:
            self._recipients.append(recipient)
            self._say("250 2.1.5 Ok")

    def _data(self) -> None:
        if not self._recipients:
            self._say("554 5.5.1 No valid recipients")
            return
        self._say("354 Go on")
        while self.rfile.readline() not in (b".\r\n", b""):
            pass
        peer = self.server
        answers = []
        for recipient in self._recipients:
            domain = recipient.rpartition("@")[2].lower()
            if domain == "full.test":
                answers.append("552 5.2.2 Mailbox full")
                continue
            with peer.lock:
                peer.taken[self._sender, recipient] += 1
            answers.append("250 2.1.5 Ok" if peer.lmtp else "250 2.0.0 Ok: taken")
        if peer.lmtp:
            self._say(*answers)
        elif any(recipient.endswith("@trick.test") for recipient in self._recipients):
            self._say(f"250 {FAKED_REPLY}")
        else:
            self._say(answers[0])

    def _say(self, *lines: str) -> None:
        self.wfile.write("".join(f"{line}\r\n" for line in lines).encode())


def _address(command: str) -> str:
    """Return what stands between ``<`` and the ``>`` that ends it; quoted local parts may hold one too."""
    start = command.index("<") + 1
    quoted = False
    for at in range(start, len(command)):
        if command[at] == '"':
            quoted = not quoted
        elif command[at] == ">" and not quoted:
            return command[start:at]
    return command[start:]
