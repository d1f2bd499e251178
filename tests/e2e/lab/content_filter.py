"""An after-queue content filter: takes mail by SMTP with XFORWARD, and gives it back to Postfix as it came."""

import smtplib
import socketserver


class FilterServer(socketserver.ThreadingTCPServer):
    """Listens on a loopback port of its own and sends everything on to `next_port`."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 200

    def __init__(self) -> None:
        """Bind a free port; `next_port` must be set before mail comes."""
        super().__init__(("127.0.0.1", 0), _Session)
        self.next_port = 0

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self.server_address[1])


class _Session(socketserver.StreamRequestHandler):
    server: FilterServer

    def handle(self) -> None:
        self._say("220 filter.example ESMTP")
        onward = smtplib.SMTP("127.0.0.1", self.server.next_port, local_hostname="filter.example.test", timeout=60)
        with onward:
            onward.ehlo()
            while line := self.rfile.readline().rstrip(b"\r\n"):
                verb = line.partition(b" ")[0].upper()
                if verb == b"EHLO":
                    self._say(
                        "250-filter.example\r\n250-XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE\r\n250 8BITMIME"
                    )
                elif verb == b"QUIT":
                    self._say("221 2.0.0 Bye")
                    return
                elif verb == b"DATA":
                    self._data(onward)
                else:
                    code, text = onward.docmd(line.decode())
                    self._say(f"{code} {text.decode().splitlines()[-1]}")

    def _data(self, onward: smtplib.SMTP) -> None:
        self._say("354 Go on")
        content = b""
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            content += line
        onward.docmd("DATA")
        onward.send(content + b".\r\n")  # dots are doubled already
        code, text = onward.getreply()
        port = self.server.next_port
        self._say(f"{code} 2.0.0 from MTA(smtp:[127.0.0.1]:{port}): {code} {text.decode()}")

    def _say(self, line: str) -> None:
        self.wfile.write(line.encode() + b"\r\n")
