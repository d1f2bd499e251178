"""Connections to PostgreSQL, and what an error of it means for a stage."""

from typing import Any, Final

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from schemas.connections import Connection as OurConnection
from schemas.database_refusals import what_to_do
from schemas.errors import ConfigurationError, JournalPostfixError, TryAgainLaterError, one_line
from schemas.settings import DatabaseSettings

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
        connection: Connection = psycopg2.connect(connection_factory=OurConnection, **parameters)
    except psycopg2.OperationalError as error:
        raise refusal(error, database) from None  # its text would repeat the parameters
    with connection, connection.cursor() as cursor:
        cursor.execute("SET client_min_messages = warning")
        cursor.execute(f"SET idle_in_transaction_session_timeout = '{_IDLE_SECONDS}s'")
    return connection


def refusal(error: psycopg2.OperationalError, database: DatabaseSettings) -> JournalPostfixError:
    """Return what a failed connection means, in one line without a secret."""
    said = one_line(error)
    secret = database.secret()
    if secret:
        said = said.replace(secret, "…")
    where = f"{database.host or 'the local socket'}:{database.port}"
    about = f"PostgreSQL at {where}, database {database.dbname}, user {database.user or '(default)'}: {said}"
    if (hint := what_to_do(said)) is not None:
        return ConfigurationError(f"{about}; {hint}")
    return TryAgainLaterError(f"{about}; is it running there?")


def unusable(error: psycopg2.Error, database: DatabaseSettings) -> ConfigurationError:
    """Return what an error means that neither a record nor the network has caused: the tables or the rights to them."""
    return ConfigurationError(
        f"database {database.dbname} can't be written: {one_line(error)}; check the rights of the role, and that the "
        "tables are those of `journal-postfix migrate`"
    )
