"""Connections to PostgreSQL, and what an error of it means for a stage."""

from typing import Any

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from schemas.errors import ConfigurationError, JournalPostfixError, TryAgainLaterError
from schemas.settings import DatabaseSettings


def connect(database: DatabaseSettings) -> Connection:
    """Return a new connection.

    Raises ConfigurationError where the server refuses (password, database, TLS), TryAgainLaterError where it is away.
    """
    parameters: dict[str, Any] = {**database.connection_parameters()}
    try:
        connection: Connection = psycopg2.connect(**parameters)
    except psycopg2.OperationalError as error:
        raise refusal(error, database) from None  # its text would repeat the parameters
    with connection, connection.cursor() as cursor:
        cursor.execute("SET client_min_messages = warning")
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
