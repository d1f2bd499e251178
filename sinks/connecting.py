"""Connections to PostgreSQL and Kafka, and what an error means for a stage."""

import logging
from typing import Any, Final

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from schemas.errors import ConfigurationError, JournalPostfixError, TryAgainLaterError
from schemas.settings import DatabaseSettings

LIBRDKAFKA: Final = logging.getLogger("librdkafka")
"""Takes what Kafka's library says by itself, which would go to stderr in a form of its own."""

_NOTICE_A_DEAD_SERVER: Final = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}
"""A host that vanishes says nothing: without these, libpq would wait for a quarter of an hour."""


_IDLE_SECONDS: Final = 10
"""How long PostgreSQL bears a transaction in which nothing happens: a stage that is frozen must not lock out others."""


def connect(database: DatabaseSettings) -> Connection:
    """Return a new connection.

    Raises ConfigurationError where the server refuses (password, database, TLS), TryAgainLaterError where it is away.
    """
    parameters: dict[str, Any] = {**database.connection_parameters(), **_NOTICE_A_DEAD_SERVER}
    try:
        connection: Connection = psycopg2.connect(**parameters)
    except psycopg2.OperationalError as error:
        raise refusal(error, database) from None  # its text would repeat the parameters
    with connection, connection.cursor() as cursor:
        cursor.execute("SET client_min_messages = warning")
        cursor.execute(f"SET idle_in_transaction_session_timeout = '{_IDLE_SECONDS}s'")
    return connection


def refusal(error: psycopg2.OperationalError, database: DatabaseSettings) -> JournalPostfixError:
    """Return what a failed connection means, in one line without a secret."""
    said = " ".join(str(error).split())
    secret = database.secret()
    if secret:
        said = said.replace(secret, "…")
    where = f"{database.host or 'the local socket'}:{database.port}"
    about = f"PostgreSQL at {where}, database {database.dbname}, user {database.user or '(default)'}: {said}"
    hints = {
        "password authentication failed": "check database.user and database.password_file",
        "no password supplied": "give database.password_file",
        "does not exist": "create the database and the role, or check database.dbname and database.user",
        "no pg_hba.conf entry": "allow this client in the server's pg_hba.conf",
        "certificate": "check database.sslrootcert and the server's certificate",
        "SSL": "check database.sslmode and the server's TLS",
    }
    for sign, hint in hints.items():
        if sign in said:
            return ConfigurationError(f"{about}; {hint}")
    return TryAgainLaterError(f"{about}; is it running there?")


def unusable(error: psycopg2.Error, database: DatabaseSettings) -> ConfigurationError:
    """Return what an error means that neither a record nor the network has caused: the tables or the rights to them."""
    said = " ".join(str(error).split())
    return ConfigurationError(
        f"database {database.dbname} can't be written: {said}; check the rights of the role, and that the tables are "
        "those of `journal-postfix migrate`"
    )
