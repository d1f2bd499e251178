"""A second set of tables, in a schema beside the live one: what a replay writes to be compared and swapped."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Final

import msgspec
import psycopg2
import psycopg2.errors
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class
from psycopg2.extensions import cursor as Cursor  # noqa: N812
from psycopg2.sql import SQL, Identifier

from schemas.errors import ConfigurationError, TryAgainLaterError, one_line
from schemas.settings import Settings
from sinks import erasures
from sinks.connecting import connect
from sinks.migrating import migrate
from sinks.roles import grant_again

_is_name = re.compile(r"[a-z_][a-z0-9_]{0,62}").fullmatch

_REPLAYED: Final = """
CREATE TABLE IF NOT EXISTS replayed (
    since      timestamptz NOT NULL,
    until      timestamptz NOT NULL,
    swapped_at timestamptz,
    one        boolean PRIMARY KEY DEFAULT true CHECK (one)
);
COMMENT ON TABLE replayed IS 'What these tables hold: a replay of postfix.raw (docs/replay.md).';
COMMENT ON COLUMN replayed.since IS 'Mail that arrived from then on is whole here.';
COMMENT ON COLUMN replayed.until IS 'Mail that arrived from then on may lack its last lines.';
COMMENT ON COLUMN replayed.swapped_at IS 'When its days were swapped into the live tables, and the old ones came here.';
COMMENT ON COLUMN replayed.one IS 'There is one.';
"""


class Replayed(msgspec.Struct, frozen=True):
    """What a second set holds."""

    since: datetime
    """Mail that arrived from then on is whole there, also where the lines of a replay did not reach further back."""
    until: datetime
    swapped_at: datetime | None = None


def in_schema(settings: Settings, schema: str) -> Settings:
    """Return *settings* for the tables in *schema*. Raises ConfigurationError for no name, or the live one."""
    live = settings.database.schema_name
    if not _is_name(schema) or schema.startswith("pg_"):
        raise ConfigurationError(f"{schema!r} is no name for a schema: small letters, digits and _, such as replayed")
    if schema == live:
        raise ConfigurationError(f"schema {schema} holds the live tables: give another name, or leave --into out")
    return settings.model_copy(update={"database": settings.database.model_copy(update={"schema_name": schema})})


def make(settings: Settings, schema: str) -> None:
    """Make *schema* and all tables in it, as far as they are missing; take over the erased and the roles.

    For the owner of the live tables. Raises ConfigurationError (may not, somebody else's schema), TryAgainLaterError.
    """
    second = in_schema(settings, schema)
    name = Identifier(schema)
    with connected(settings, "make a second set of tables in") as connection, connection, connection.cursor() as cursor:
        cursor.execute("SELECT to_regnamespace(%s) IS NOT NULL", (schema,))
        if cursor.fetchone() == (True,):
            cursor.execute(
                "SELECT bool_or(relname = 'replayed') FROM pg_class WHERE relnamespace = %s::regnamespace", (schema,)
            )
            if cursor.fetchone() == (False,):
                raise ConfigurationError(f"schema {schema} holds something else: give a name that is free")
        else:
            cursor.execute(SQL("CREATE SCHEMA {}").format(name))
        cursor.execute(SQL("SET LOCAL search_path = {}").format(name))
        cursor.execute(_REPLAYED)
    migrate(second)
    with connected(settings, "copy the roles of") as connection, connection, connection.cursor() as cursor:
        _copy(cursor, settings.database.schema_name, schema)
        cursor.execute(SQL("SET LOCAL search_path = {}").format(name))
        grant_again(cursor)


def _copy(cursor: Cursor, live: str, schema: str) -> None:
    """Let the second set know who was given which rights and, before it has a row, who is erased or pseudonymised."""
    cursor.execute("SELECT pg_advisory_xact_lock_shared(%s)", (erasures.LOCK,))
    cursor.execute(SQL("SELECT FROM {}").format(Identifier(schema, "replayed")))
    tables = ("granted_roles",) if cursor.rowcount else ("granted_roles", "erasure_key", "erasures", "pseudonymised")
    for table in tables:
        here, there = Identifier(live, table), Identifier(schema, table)
        cursor.execute(SQL("DELETE FROM {}").format(there))
        cursor.execute(SQL("INSERT INTO {} SELECT * FROM {}").format(there, here))


def replayed(settings: Settings, schema: str) -> Replayed | None:
    """Return what the second set in *schema* holds; None where nothing was replayed into it yet.

    Raises ConfigurationError where there is none, TryAgainLaterError.
    """
    with connected(settings, "look at the second set in") as connection, connection, connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s) IS NOT NULL", (f"{schema}.replayed",))
        if cursor.fetchone() != (True,):
            raise ConfigurationError(
                f"schema {schema} holds no second set of tables: make one with `journal-postfix replay --since TIME "
                f"--into {schema}`"
            )
        cursor.execute(SQL("SELECT since, until, swapped_at FROM {}").format(Identifier(schema, "replayed")))
        found = cursor.fetchone()
        return Replayed(*found) if found is not None else None


def note(settings: Settings, schema: str, since: datetime, until: datetime) -> None:
    """Note what the second set holds; of a replay that goes on, *since* stays as it was noted first."""
    with connected(settings, "write in") as connection, connection, connection.cursor() as cursor:
        cursor.execute(
            SQL(
                "INSERT INTO {} (since, until) VALUES (%s, %s) ON CONFLICT (one) DO UPDATE SET until = excluded.until"
            ).format(Identifier(schema, "replayed")),
            (since, until),
        )


def positions(settings: Settings, schema: str, topic: str) -> dict[int, int]:
    """Return how far *topic* was replayed into the second set, by partition."""
    with connected(settings, "look at the second set in") as connection, connection, connection.cursor() as cursor:
        cursor.execute(
            SQL("SELECT partition, next_offset FROM {} WHERE topic = %s").format(Identifier(schema, "sink_positions")),
            (topic,),
        )
        return dict(cursor.fetchall())


@contextmanager
def connected(settings: Settings, what: str) -> Iterator[Connection]:
    """Give a connection whose errors say *what* could not be done."""
    database = settings.database
    connection = connect(database)
    try:
        yield connection
    except (psycopg2.errors.LockNotAvailable, psycopg2.errors.DeadlockDetected):
        raise  # who takes locks tries again
    except (psycopg2.errors.InsufficientPrivilege, psycopg2.errors.UndefinedTable) as error:
        raise ConfigurationError(
            f"role {database.user or '(default)'} can't {what} database {database.dbname}: {one_line(error)}; run it "
            "as the owner of the tables, who needs CREATE on the database for --into, and after `journal-postfix "
            "migrate`"
        ) from error
    except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
        raise TryAgainLaterError(f"can't {what} database {database.dbname}: {one_line(error)}; run it again") from error
    except psycopg2.Error as error:
        raise ConfigurationError(
            f"can't {what} database {database.dbname}: {one_line(error)}; nothing was changed by that"
        ) from error
    finally:
        connection.close()
