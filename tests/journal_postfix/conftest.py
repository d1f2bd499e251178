"""What the command's tests share."""

import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from secured_broker import PASSWORD, Secured

from journal_postfix.access import WORK, rules
from journal_postfix.local import EmbeddedBroker, broker_node
from journal_postfix.local.ports import free_ports
from journal_postfix.topics import make
from schemas.errors import JournalPostfixError
from schemas.settings import Settings


@pytest.fixture
def free_port() -> int:
    """Give a port of loopback at which nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    [port] = free_ports(1)
    users = " ".join(f'user_{work}="{PASSWORD}"' for work in WORK)
    plain = broker_node.server_properties

    def with_access_control(*arguments: Any) -> str:
        text = plain(*arguments)
        text = text.replace(",CONTROLLER://127.0.0.1", f",SASL://127.0.0.1:{port},CONTROLLER://127.0.0.1", 1)
        text = text.replace("advertised.listeners=", f"advertised.listeners=SASL://127.0.0.1:{port},", 1)
        text = text.replace("CONTROLLER:PLAINTEXT", "CONTROLLER:PLAINTEXT,SASL:SASL_PLAINTEXT", 1)
        return text + (
            "sasl.enabled.mechanisms=PLAIN\n"
            "listener.name.sasl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule "
            f"required {users};\n"
            "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n"
            "super.users=User:ANONYMOUS\n"
        )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(broker_node, "server_properties", with_access_control)
        try:
            broker = EmbeddedBroker(tmp_path_factory.mktemp("secured"), Settings())
            broker.start()
        except JournalPostfixError as error:
            reason = f"no broker: {error}"
            pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
        try:
            secured = Secured(broker, port)
            secured.allow("topics", rules(secured.settings("topics"), "topics"))
            make(secured.settings("topics"))  # as that user
            yield secured
        finally:
            broker.stop()
