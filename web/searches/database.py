"""The connection that searches use, and what its failures mean to a person."""

from typing import Any, Final

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from schemas.errors import ConfigurationError, JournalPostfixError, TryAgainLaterError
from schemas.settings import DatabaseSettings

_REFUSED: Final = (
    "authentication failed",
    "no password supplied",
    "does not exist",
    "no pg_hba.conf entry",
    "SSL",
    "certificate",
)


def connect(database: DatabaseSettings, **more: Any) -> Connection:
    """Return a connection. Raises ConfigurationError where a setting is wrong, TryAgainLaterError otherwise."""
    try:
        connection: Connection = psycopg2.connect(**{**database.connection_parameters(), **more})
    except psycopg2.OperationalError as error:
        raise explained(error, database) from None
    return connection


def explained(error: psycopg2.Error, database: DatabaseSettings) -> JournalPostfixError:
    """Return what *error* means, in one line that holds no secret."""
    reason = " ".join(str(error).split()).removeprefix("connection to server ") or type(error).__name__
    where = f"PostgreSQL, database {database.dbname} at {database.host or 'its local socket'}"
    if isinstance(error, (psycopg2.errors.UndefinedTable, psycopg2.errors.UndefinedColumn)):
        return ConfigurationError(f"{where} lacks our tables or has old ones: run `journal-postfix migrate`")
    if isinstance(error, psycopg2.errors.InsufficientPrivilege):
        return ConfigurationError(f"{where} refuses: {reason}")
    if isinstance(error, psycopg2.errors.QueryCanceled):
        return JournalPostfixError(f"{where} gave up: {reason}")
    if any(word in reason for word in _REFUSED):
        return ConfigurationError(f"{where} refuses: {reason}. Check the database settings")
    return TryAgainLaterError(f"{where} does not answer: {reason}. Is it running, and are the database settings right?")
