"""The embedded parts: Apache Kafka and PostgreSQL, for one server, a trial and the tests."""

from journal_postfix.local.broker import EmbeddedBroker, EmbeddedCluster
from journal_postfix.local.database import EmbeddedDatabase
from journal_postfix.local.stack import LocalStack, attach

__all__ = ["EmbeddedBroker", "EmbeddedCluster", "EmbeddedDatabase", "LocalStack", "attach"]
