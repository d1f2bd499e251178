"""A broker that lets nobody do anything that was not allowed."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from journal_postfix.access import Rule
from journal_postfix.local import EmbeddedBroker, broker_node
from journal_postfix.local.ports import free_ports
from schemas.errors import JournalPostfixError
from schemas.settings import Settings

PASSWORD = "of-this-test"
ANY = {"operation": AclOperation.ANY, "permission_type": AclPermissionType.ANY}
RESOURCES = {
    "topic": ResourceType.TOPIC,
    "group": ResourceType.GROUP,
    "transactional-id": ResourceType.TRANSACTIONAL_ID,
}
OPERATIONS = {
    "Read": AclOperation.READ,
    "Write": AclOperation.WRITE,
    "Create": AclOperation.CREATE,
    "Describe": AclOperation.DESCRIBE,
    "Alter": AclOperation.ALTER,
    "AlterConfigs": AclOperation.ALTER_CONFIGS,
    "DescribeConfigs": AclOperation.DESCRIBE_CONFIGS,
}


class Secured:
    """A broker that lets nobody do anything but its administrator, who need not say who he is."""

    def __init__(self, broker: EmbeddedBroker, ports: Mapping[str, int]) -> None:
        self.ports = ports
        self.admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers, "log_level": 0})

    def allow(self, user: str, given: tuple[Rule, ...]) -> None:
        """Allow *user* what *given* says, and nothing else."""
        everything = AclBindingFilter(ResourceType.ANY, None, ResourcePatternType.ANY, f"User:{user}", "*", **ANY)
        for future in self.admin.delete_acls([everything]).values():
            future.result()
        bindings = [
            AclBinding(
                RESOURCES[rule.resource], rule.name,
                ResourcePatternType.PREFIXED if rule.prefixed else ResourcePatternType.LITERAL,
                f"User:{user}", "*", OPERATIONS[operation], AclPermissionType.ALLOW,
            )
            for rule in given
            for operation in rule.operations
        ]  # fmt: skip
        for future in self.admin.create_acls(bindings).values() if bindings else ():
            future.result()

    def settings(self, user: str) -> Settings:
        return Settings.model_validate(
            {
                "kafka": {
                    "bootstrap_servers": f"127.0.0.1:{self.ports['SASL']}",
                    "security_protocol": "SASL_PLAINTEXT",
                    "sasl_mechanism": "PLAIN",
                    "sasl_username": user,
                    "sasl_password": PASSWORD,
                    "topic_prefix": "acl.",
                    "partitions": 2,
                },
                "stream": {"application": "acl-app", "session_timeout_seconds": 6},
                "sink": {"group": "acl-sink"},
            }
        )


@contextmanager
def secured_broker(
    folder: Path, listeners: Mapping[str, str], properties: Mapping[str, str], host: str = "127.0.0.1"
) -> Iterator[Secured]:
    """Start a broker, or skip the test, with ACLs and more *listeners*, name to protocol, each at a port of *host*.

    *properties* are lines of ``server.properties`` besides.
    """
    ports = dict(zip(listeners, free_ports(len(listeners)), strict=True))
    plain = broker_node.server_properties

    def with_access_control(*arguments: Any) -> str:
        text = plain(*arguments)
        for name, port in ports.items():
            text = text.replace(",CONTROLLER://127.0.0.1", f",{name}://127.0.0.1:{port},CONTROLLER://127.0.0.1", 1)
            text = text.replace("advertised.listeners=", f"advertised.listeners={name}://{host}:{port},", 1)
            text = text.replace("CONTROLLER:PLAINTEXT", f"CONTROLLER:PLAINTEXT,{name}:{listeners[name]}", 1)
        more = {
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
            **properties,
        }
        return text + "".join(f"{name}={value}\n" for name, value in more.items())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(broker_node, "server_properties", with_access_control)
        try:
            broker = EmbeddedBroker(folder, Settings())
            broker.start()
        except JournalPostfixError as error:
            reason = f"no broker: {error}"
            pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
        try:
            yield Secured(broker, ports)
        finally:
            broker.stop()
