"""The connection that searches use, and what its failures mean to a person."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from schemas.connections import Connection as OurConnection
from schemas.database_refusals import what_to_do
from schemas.errors import ConfigurationError, JournalPostfixError, TryAgainLaterError
from schemas.settings import DatabaseSettings


def connect(database: DatabaseSettings) -> Connection:
    """Return a connection. Raises ConfigurationError where a setting is wrong, TryAgainLaterError otherwise."""
    parameters: dict[str, Any] = {**database.connection_parameters()}
    try:
        connection: Connection = psycopg2.connect(connection_factory=OurConnection, **parameters)
    except psycopg2.OperationalError as error:
        raise explained(error, database) from None
    return connection


@contextmanager
def searching(database: DatabaseSettings) -> Iterator[Connection]:
    """Give a connection that only reads, and say what its errors in the block mean. Raises JournalPostfixError.

    All queries of a transaction see the same moment: the parts of an answer agree, whatever sinks write meanwhile.
    """
    connection = connect(database)
    try:
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        yield connection
    except psycopg2.Error as error:
        raise explained(error, database) from None
    finally:
        connection.close()


def explained(error: psycopg2.Error, database: DatabaseSettings) -> JournalPostfixError:
    """Return what *error* means, in one line that holds no secret."""
    said = " ".join(str(error).partition("Is the server running")[0].split())
    reason = said.removeprefix("connection to server ") or type(error).__name__
    where = f"PostgreSQL, database {database.dbname} at {database.host or 'its local socket'}"
    if isinstance(error, (psycopg2.errors.UndefinedTable, psycopg2.errors.UndefinedColumn)):
        return ConfigurationError(f"{where} lacks our tables or has old ones: run `journal-postfix migrate`")
    if isinstance(error, psycopg2.errors.InsufficientPrivilege):
        return ConfigurationError(f"{where} refuses: {reason}")
    if isinstance(error, psycopg2.errors.QueryCanceled):
        return JournalPostfixError(f"{where} gave up: {reason}")
    if (hint := what_to_do(reason)) is not None:
        return ConfigurationError(f"{where} refuses: {reason}; {hint}")
    return TryAgainLaterError(f"{where} does not answer: {reason}. Is it running, and are the database settings right?")
