"""Choose ports on loopback, and keep them over restarts."""

import json
import random
import socket
from contextlib import closing
from pathlib import Path
from typing import Final

LOOPBACK: Final = "127.0.0.1"
_LOWEST: Final = 10_240
_TRIES: Final = 200


def _ephemeral_start() -> int:
    try:
        text = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii")
        return int(text.split()[0])
    except (OSError, ValueError, IndexError):
        return 32_768


def is_free(port: int) -> bool:
    """Tell whether a server could listen on *port* now."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Java does
        try:
            attempt.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def free_ports(count: int) -> list[int]:
    """Return so many free ports, below those that the system gives to clients.

    A client that keeps trying a port of its own range may connect to itself, and then the server can't have the port.
    """
    highest = max(_ephemeral_start() - 1, _LOWEST + 1000)
    chosen: list[int] = []
    for _ in range(_TRIES):
        port = random.randint(_LOWEST, highest)  # noqa: S311 - not a secret
        if port not in chosen and is_free(port):
            chosen.append(port)
            if len(chosen) == count:
                return chosen
    raise OSError(f"no {count} free ports between {_LOWEST} and {highest} on {LOOPBACK}")


def remembered_ports(file: Path, count: int) -> list[int]:
    """Return the ports that *file* names if all are free, else new ones, which it names then."""
    try:
        ports = [int(port) for port in json.loads(file.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError):
        ports = []
    if len(ports) == count and all(0 < port < 65_536 and is_free(port) for port in ports):  # noqa: PLR2004 - TCP's
        return ports
    ports = free_ports(count)
    file.write_text(json.dumps(ports), encoding="utf-8")
    return ports
