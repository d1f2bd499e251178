"""A database with our tables, and a way to put mail into it."""

import secrets
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class
from psycopg2.sql import SQL, Identifier, Placeholder

from schemas.settings import DatabaseSettings, Settings
from sinks.migrating import migrate
from web.searches.database import connect, searching

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


class Mail:
    """Puts rows into the tables; what a test doesn't say has a value that doesn't matter."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def message(self, queue_id: str, after: float = 0, **known: Any) -> None:
        """Put a message that arrived *after* seconds after noon; ``…_at`` are seconds after noon too."""
        self._insert("delivery_from", {"origin": 2, "queued_at": 0.0} | self._key(queue_id, after) | known)

    def delivery(
        self,
        queue_id: str,
        recipient: str,
        status: str = "sent",
        after: float = 0,
        *,
        attempt_noted: bool = True,
        **known: Any,
    ) -> None:
        """Put one recipient of the message that arrived *after* seconds after noon.

        Without *attempt_noted* its message is one of before the column for it.
        """
        row = {
            "recipient": recipient, "orig_recipient": "", "origin": 2, "last_attempt_at": after, "status": status,
            "number": 0, "service": "smtp", "dsn": "2.0.0", "relay": "mx[192.0.2.1]:25", "reply": "250 Ok",
            "first_attempt_at": after, "attempts": 1, "history": [],
        }  # fmt: skip
        row |= self._key(queue_id, after) | known
        self._insert("delivery_to", row)
        if attempt_noted:
            with self._connection.cursor() as cursor:
                cursor.execute(
                    "UPDATE delivery_from SET attempted_at = arrived_at WHERE (host, queue_id) = (%s, %s)",
                    (row["host"], queue_id),
                )

    def both(self, queue_id: str, recipient: str, status: str = "sent", after: float = 0, **known: Any) -> None:
        """Put a message with one recipient; *known* is of the message."""
        self.message(queue_id, after, **known)
        self.delivery(queue_id, recipient, status, after, host=known.get("host", "mx1"))

    def rejection(self, recipient: str, after: float = 0, **known: Any) -> None:
        """Put a rejection without a queue id."""
        row = {
            "host": "mx1", "at": after, "digest": f"{recipient}{after}", "service": "smtpd", "instance": "postfix",
            "pid": 7, "action": "reject", "stage": "RCPT", "reply": "550 5.1.1 no", "recipient": recipient,
        }  # fmt: skip
        self._insert("noqueue", row | known)

    def session(self, pid: int, direction: str, peer: str, cipher: str, after: float = 0, **known: Any) -> None:
        """Put the encryption of a process's connection; *peer* is ``name[address]``."""
        name, _, address = peer.rstrip("]").partition("[")
        row = {
            "host": "mx1", "at": after, "digest": f"{pid}{cipher}", "parser": 2, "service": "smtpd",
            "instance": "postfix", "pid": pid, "direction": direction, "trust": "untrusted", "reused": False,
            "ended": False, "peer_name": name, "peer_address": address, "protocol": "TLSv1.3", "cipher": cipher,
        }  # fmt: skip
        self._insert("tls_sessions", row | known)

    @staticmethod
    def _key(queue_id: str, after: float) -> dict[str, Any]:
        return {"host": "mx1", "queue_id": queue_id, "arrived_at": after}

    def _insert(self, table: str, row: Mapping[str, Any]) -> None:
        values = {
            name: NOON + timedelta(seconds=v) if (name.endswith("_at") or name == "at") and v is not None else v
            for name, v in row.items()
        }
        query = SQL("INSERT INTO {} ({}) VALUES ({})").format(
            Identifier(table), SQL(", ").join(map(Identifier, values)), SQL(", ").join(map(Placeholder, values))
        )
        with self._connection.cursor() as cursor:
            cursor.execute(query, values)
            for kind, column in (("sender", "sender"), ("recipient", "recipient"), ("client", "client_name")):
                if table != "noqueue" and row.get(column):  # as the sink does
                    cursor.execute(
                        "INSERT INTO known_names VALUES (%s, %s, '2026-11-23') ON CONFLICT DO NOTHING",
                        (kind, row[column]),
                    )


@pytest.fixture(scope="session")
def migrated(postgres: Any) -> DatabaseSettings:
    """Give a database with our tables, for all tests: to make them takes longer than to empty them."""
    name = f"t{secrets.token_hex(6)}"
    owner = postgres.owner.model_copy(update={"dbname": name})
    postgres.execute(SQL("CREATE DATABASE {} OWNER {}").format(Identifier(name), Identifier(owner.user)))
    migrate(Settings(database=owner))
    return owner


@pytest.fixture
def tables(migrated: DatabaseSettings) -> Iterator[DatabaseSettings]:
    """Give a database with our tables, empty."""
    yield migrated
    connection = connect(migrated)
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "TRUNCATE delivery_from, delivery_to, noqueue, tls_sessions, known_names, delivery_counts, message_counts,"
            " reject_counts, trouble_counts, client_counts"
        )
    connection.close()


@pytest.fixture
def mail(tables: DatabaseSettings) -> Iterator[Mail]:
    """Give a way to put mail into the tables."""
    connection = connect(tables)
    connection.autocommit = True
    yield Mail(connection)
    connection.close()


@pytest.fixture
def reading(tables: DatabaseSettings) -> Iterator[Connection]:
    """Give a connection as searches have it."""
    with searching(tables) as connection:
        yield connection
