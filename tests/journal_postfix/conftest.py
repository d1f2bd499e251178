"""What the command's tests share."""

import socket
from collections.abc import Iterator

import pytest
from secured_broker import PASSWORD, Secured, secured_broker

from journal_postfix.access import WORK, rules
from journal_postfix.topics import make


@pytest.fixture
def free_port() -> int:
    """Give a port of loopback at which nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    users = " ".join(f'user_{work}="{PASSWORD}"' for work in WORK)
    properties = {
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.sasl.plain.sasl.jaas.config": "org.apache.kafka.common.security.plain.PlainLoginModule "
        f"required {users};",
    }
    folder = tmp_path_factory.mktemp("secured")
    with secured_broker(folder, {"SASL": "SASL_PLAINTEXT"}, properties) as secured:
        secured.allow("topics", rules(secured.settings("topics"), "topics"))
        make(secured.settings("topics"))  # as that user
        yield secured
