"""A mail filter that speaks the milter protocol, version 6, and decides by the envelope addresses."""

import socketserver
import struct
from typing import Final

TEXT: Final = "lab milter says no; from=<no@fake.example>, status=sent"

_CONTINUE: Final = b"c"


class MilterServer(socketserver.ThreadingTCPServer):
    """Listens on a loopback port of its own."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True

    def __init__(self) -> None:
        """Bind a free port."""
        super().__init__(("127.0.0.1", 0), _Session)

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self.server_address[1])


class _Session(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        sender = ""
        while head := self.rfile.read(4):
            packet = self.rfile.read(struct.unpack("!I", head)[0])
            command, payload = packet[:1], packet[1:].split(b"\0")[0].decode("utf-8", "replace")
            if command == b"O":  # options: version, actions (quarantine), protocol steps
                self._answer(b"O" + struct.pack("!III", 6, 0x20, 0))
            elif command == b"M":
                sender = payload
                self._answer(_CONTINUE)
            elif command == b"R":
                self._answer(b"y550 5.7.1 " + TEXT.encode() + b"\0" if payload.startswith("<mno-") else _CONTINUE)
            elif command == b"E":
                self._decide(sender)
            elif command == b"Q":
                return
            elif command not in (b"D", b"A", b"K"):  # macros, abort and a new connection have no answer
                self._answer(_CONTINUE)

    def _decide(self, sender: str) -> None:
        if sender.startswith("<mreject-"):
            self._answer(b"y554 5.7.1 " + TEXT.encode() + b"\0")
        elif sender.startswith("<mdiscard-"):
            self._answer(b"d")
        else:
            if sender.startswith("<mhold-"):
                self._answer(b"q" + b"lab milter quarantines\0")
            self._answer(_CONTINUE)

    def _answer(self, packet: bytes) -> None:
        self.wfile.write(struct.pack("!I", len(packet)) + packet)
