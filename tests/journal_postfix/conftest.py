"""What the command's tests share."""

import socket

import pytest


@pytest.fixture
def free_port() -> int:
    """Give a port of loopback at which nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port
