"""A broker that lets nobody do anything that was not allowed."""

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
from journal_postfix.local import EmbeddedBroker
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

    def __init__(self, broker: EmbeddedBroker, port: int) -> None:
        self.port = port
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
                    "bootstrap_servers": f"127.0.0.1:{self.port}",
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
