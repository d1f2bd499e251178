"""The database's roles: the owner of the tables (migrator), one that writes rows (sink), one that reads (reader).

The roles themselves are an administrator's to make (`create`); what they may do with the tables is the owner's to give
(`grant`), and each migration gives it again for what it made anew.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, Literal

import psycopg2
import psycopg2.errors
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class
from psycopg2.extensions import cursor as Cursor  # noqa: N812
from psycopg2.extensions import encrypt_password
from psycopg2.sql import SQL, Composable, Identifier
from psycopg2.sql import Literal as Quoted

from schemas.errors import ConfigurationError, TryAgainLaterError, one_line
from schemas.settings import Settings
from sinks.connecting import connect
from sinks.counts import COUNT_TABLES

SINK_RIGHTS: Final[Mapping[str, str]] = {
    "delivery_from": "SELECT, INSERT, UPDATE, DELETE",
    "delivery_to": "SELECT, INSERT, UPDATE, DELETE",
    "noqueue": "SELECT, INSERT, UPDATE, DELETE",
    "tls_sessions": "SELECT, INSERT, UPDATE, DELETE",
    "known_names": "SELECT, INSERT, UPDATE",
    **dict.fromkeys(COUNT_TABLES, "SELECT, INSERT, UPDATE"),
    "erasures": "SELECT",
    "erasure_key": "SELECT",
    "pseudonymised": "SELECT",
    "sink_positions": "SELECT, INSERT, UPDATE",
    "schema_migrations": "SELECT",
}
"""What a sink does with each table."""

SINK_FUNCTIONS: Final = ("make_day_partition(text, date)", "analyze_day_partition(text, date)")
"""What it does with its owner's rights."""

READER_RIGHTS: Final[Mapping[str, str]] = dict.fromkeys(
    (
        "deliveries",
        "delivery_from",
        "delivery_to",
        "noqueue",
        "tls_sessions",
        "known_names",
        *COUNT_TABLES,
        "pseudonymised",
        "sink_positions",
        "schema_migrations",
    ),
    "SELECT",
)

KEPT: Final = frozenset({"granted_roles"})
"""Tables that are the owner's alone."""

_LOCK: Final = 7_260_115_373
"""Key of the advisory lock that keeps two changes of rights apart: PostgreSQL refuses the second."""

_WORK: Final = {"sink": SINK_RIGHTS, "reader": READER_RIGHTS}


def create(settings: Settings, *, migrator: str, others: Sequence[str], passwords: Mapping[str, str]) -> list[str]:
    """Make the roles that are missing, as an administrator; return the names of those that were made.

    *passwords* by role are set anew, also of those that are there. Afterwards *migrator* may make tables in the
    settings' schema, and nobody else may. Raises ConfigurationError, TryAgainLaterError.
    """
    database = settings.database
    schema = Identifier(database.schema_name)
    made = []
    with _changing(settings, "make roles in") as (connection, cursor):
        _check_owner(cursor, migrator)
        for role in (migrator, *others):
            cursor.execute("SELECT FROM pg_roles WHERE rolname = %s", (role,))
            if cursor.rowcount == 0:
                cursor.execute(SQL("CREATE ROLE {} LOGIN").format(Identifier(role)))
                made.append(role)
            if role in passwords:
                # The server gets, and may log, only what it keeps anyway.
                verifier = encrypt_password(passwords[role], role, connection, "scram-sha-256")
                cursor.execute(SQL("ALTER ROLE {} PASSWORD {}").format(Identifier(role), Quoted(verifier)))
            cursor.execute(
                SQL("GRANT CONNECT, TEMPORARY ON DATABASE {} TO {}").format(
                    Identifier(database.dbname), Identifier(role)
                )
            )
        cursor.execute(SQL("CREATE SCHEMA IF NOT EXISTS {}").format(schema))
        cursor.execute(SQL("REVOKE CREATE ON SCHEMA {} FROM PUBLIC").format(schema))
        _execute(cursor, "GRANT USAGE, CREATE ON SCHEMA {} TO {} WITH GRANT OPTION", schema, Identifier(migrator))
        for role in others:
            _execute(cursor, "GRANT USAGE ON SCHEMA {} TO {}", schema, Identifier(role))
    return made


def grant(settings: Settings, *, sinks: Sequence[str] = (), readers: Sequence[str] = ()) -> None:
    """Let *sinks* and *readers*, roles that exist, do their work with the tables, and nothing more; remember them.

    For the owner of the tables. A role that had the other work gets the new one instead. Raises ConfigurationError,
    TryAgainLaterError.
    """
    with _changing(settings, "grant rights in") as (_, cursor):
        for work, roles in (("sink", sinks), ("reader", readers)):
            for role in roles:
                cursor.execute("SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = 'granted_roles'::regclass")
                if cursor.fetchone() == (role,):
                    raise ConfigurationError(f"{role} owns the tables and may do everything: give another role")
                cursor.execute(
                    "INSERT INTO granted_roles (role, work) VALUES (%s, %s) "
                    "ON CONFLICT (role) DO UPDATE SET work = EXCLUDED.work",
                    (role, work),
                )
                _give(cursor, role, work)


def grant_again(cursor: Cursor) -> None:
    """Give the remembered roles their rights to all that the migrations of this transaction made."""
    cursor.execute("SELECT to_regclass('granted_roles') IS NOT NULL")
    if cursor.fetchone() != (True,):
        return
    cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
    cursor.execute("SELECT role, work FROM granted_roles WHERE role IN (SELECT rolname FROM pg_roles) ORDER BY role")
    for role, work in cursor.fetchall():
        _give(cursor, role, work)


def lacking_rights(connection: Connection, work: Literal["sink", "reader"]) -> list[str]:
    """Return what the connected role may not do that its *work* needs, a line for each thing; the tables are there."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT needed.name, array_agg(needed.privilege ORDER BY needed.privilege) "
            "FROM unnest(%s::text[], %s::text[]) AS needed (name, privilege) "
            "WHERE NOT coalesce(has_table_privilege(to_regclass(needed.name), needed.privilege), false) "
            "GROUP BY needed.name ORDER BY needed.name",
            [
                list(column)
                for column in zip(
                    *((table, right) for table, rights in _WORK[work].items() for right in rights.split(", ")),
                    strict=True,
                )
            ],
        )
        lacking = [f"{', '.join(rights)} on {table}" for table, rights in cursor.fetchall()]
        if work == "sink":
            cursor.execute("SELECT has_database_privilege(current_database(), 'TEMPORARY')")
            lacking += [] if cursor.fetchone() == (True,) else ["TEMPORARY on the database"]
            cursor.execute(
                "SELECT name FROM unnest(%s::text[]) AS name "
                "WHERE NOT coalesce(has_function_privilege(to_regprocedure(name), 'EXECUTE'), false)",
                (list(SINK_FUNCTIONS),),
            )
            lacking += [f"EXECUTE on {name}" for (name,) in cursor.fetchall()]
    return lacking


def _give(cursor: Cursor, role: str, work: str) -> None:
    name = Identifier(role)
    for table in {**SINK_RIGHTS, **READER_RIGHTS}:
        _execute(cursor, "REVOKE ALL ON {} FROM {}", Identifier(table), name)
    for function in SINK_FUNCTIONS:
        cursor.execute(SQL("REVOKE EXECUTE ON FUNCTION {} FROM {}").format(SQL(function), name))
    for table, rights in _WORK[work].items():
        cursor.execute(SQL("GRANT {} ON {} TO {}").format(SQL(rights), Identifier(table), name))
    if work == "sink":
        for function in SINK_FUNCTIONS:
            cursor.execute(SQL("GRANT EXECUTE ON FUNCTION {} TO {}").format(SQL(function), name))
    cursor.execute("SELECT current_schema()")
    [(schema,)] = cursor.fetchall()
    cursor.execute("SELECT has_schema_privilege(%s, %s, 'USAGE')", (role, schema))
    if cursor.fetchone() != (True,):
        _execute(cursor, "GRANT USAGE ON SCHEMA {} TO {}", Identifier(schema), name)


def _execute(cursor: Cursor, statement: str, *names: Composable) -> None:
    cursor.execute(SQL(statement).format(*names))


def _check_owner(cursor: Cursor, migrator: str) -> None:
    cursor.execute(
        "SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = to_regclass('schema_migrations') AND "
        "pg_get_userbyid(relowner) <> %s",
        (migrator,),
    )
    for (owner,) in cursor.fetchall():
        raise ConfigurationError(
            f"the tables are there and belong to {owner}, not to {migrator}: give --migrator {owner}, or let an "
            f"administrator hand them over (REASSIGN OWNED BY {owner} TO {migrator})"
        )


@contextmanager
def _changing(settings: Settings, what: str) -> Iterator[tuple[Connection, Cursor]]:
    """Give a connection for one transaction, whose errors say what could not be done."""
    database = settings.database
    connection = connect(database)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            yield connection, cursor
    except psycopg2.errors.InsufficientPrivilege as error:
        raise ConfigurationError(
            f"role {database.user or '(default)'} may not {what} database {database.dbname}: {one_line(error)}; "
            "nothing was changed"
        ) from error
    except psycopg2.errors.UndefinedTable as error:
        raise ConfigurationError(
            f"cannot {what} database {database.dbname}: {one_line(error)}; run `journal-postfix migrate` first"
        ) from error
    except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
        raise TryAgainLaterError(
            f"cannot {what} database {database.dbname}: {one_line(error)}; nothing was changed"
        ) from error
    except psycopg2.Error as error:
        raise ConfigurationError(
            f"cannot {what} database {database.dbname}: {one_line(error)}; nothing was changed"
        ) from error
    finally:
        connection.close()
