"""Connections to PostgreSQL whose loss is an `OperationalError`, always.

Between two statements psycopg2 calls it a plain `DatabaseError`, as it does where a server whose process has crashed
cuts all sessions. Whoever waits for the server to come back, and takes everything else for a fault that waiting does
not mend, must be able to tell these apart.
"""

from typing import Any

import psycopg2
from psycopg2.extensions import connection, cursor


class Cursor(cursor):
    """A cursor of a `Connection`."""

    def execute(self, query: Any, vars: Any = None) -> None:  # noqa: A002 - psycopg2's name
        """Run a statement. Raises what psycopg2 raises; a lost connection is an OperationalError."""
        try:
            super().execute(query, vars)
        except psycopg2.DatabaseError as error:
            raise _told(error) from error.__cause__

    def copy_expert(self, sql: Any, file: Any, size: int = 8192) -> None:
        """Copy. Raises as `execute`."""
        try:
            super().copy_expert(sql, file, size)
        except psycopg2.DatabaseError as error:
            raise _told(error) from error.__cause__


class Connection(connection):
    """What `psycopg2.connect` makes as its ``connection_factory``."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.cursor_factory = Cursor

    def commit(self) -> None:
        """Commit; so does a block of the connection at its end. Raises as `Cursor.execute`."""
        try:
            super().commit()
        except psycopg2.DatabaseError as error:
            raise _told(error) from error.__cause__


def _told(error: psycopg2.DatabaseError) -> psycopg2.DatabaseError:
    if type(error) is psycopg2.DatabaseError and error.pgcode is None:  # no subclass, and not of the server's own words
        return psycopg2.OperationalError(*error.args)
    return error
