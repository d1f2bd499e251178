"""The migrations: numbered ``.sql`` files, each applied once, in order, in a transaction of its own."""

import hashlib
import re
from importlib.resources import files
from typing import Final

import msgspec
import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from schemas.errors import ConfigurationError, one_line
from schemas.settings import Settings
from sinks.connecting import connect
from sinks.roles import grant_again

_LOCK: Final = 7_260_115_371
"""Key of the advisory lock that keeps two migrations apart."""

OLDEST_SERVER: Final = 140_000
"""PostgreSQL from which the migrations and the queries run: ``BEGIN ATOMIC``, and `split_part` from the end."""

_NAME = re.compile(r"(\d{4})_[a-z_]+\.sql")


class Migration(msgspec.Struct, frozen=True):
    """One file of ``sinks/migrations``."""

    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the file's text."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrations() -> list[Migration]:
    """Return all migrations, in order."""
    folder = files("sinks") / "migrations"
    found = [file for file in folder.iterdir() if _NAME.fullmatch(file.name)]
    return [Migration(file.name, file.read_text(encoding="utf-8")) for file in sorted(found, key=lambda f: f.name)]


def pending(settings: Settings) -> list[str]:
    """Return the names of the migrations that the database lacks.

    Raises ConfigurationError where the database has others than these, TryAgainLaterError where it does not answer.
    """
    connection = connect(settings.database)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT to_regclass('schema_migrations') IS NOT NULL")
            row = cursor.fetchone()
            applied = _applied(connection) if row and row[0] else {}
        return [migration.name for migration in _outstanding(applied, settings)]
    finally:
        connection.close()


def migrate(settings: Settings) -> list[str]:
    """Apply what the database lacks, and return the names; of two at once the second waits and finds nothing to do.

    Raises ConfigurationError where the database has others than these or refuses one, TryAgainLaterError where it does
    not answer.
    """
    connection = connect(settings.database)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            cursor.execute(
                "CREATE TABLE IF NOT EXISTS schema_migrations ("
                "name text PRIMARY KEY, checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
            )
            done = []
            for migration in _outstanding(_applied(connection), settings):
                cursor.execute(migration.sql)
                cursor.execute(
                    "INSERT INTO schema_migrations (name, checksum) VALUES (%s, %s)",
                    (migration.name, migration.checksum),
                )
                done.append(migration.name)
            if done:
                grant_again(cursor)
    except psycopg2.Error as error:
        raise ConfigurationError(
            f"cannot migrate database {settings.database.dbname}: {one_line(error)}; nothing was changed"
        ) from error
    else:
        return done
    finally:
        connection.close()


def _applied(connection: Connection) -> dict[str, str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT name, checksum FROM schema_migrations ORDER BY name")
        return dict(cursor.fetchall())


def _outstanding(applied: dict[str, str], settings: Settings) -> list[Migration]:
    known = {migration.name: migration for migration in migrations()}
    unknown = sorted(applied.keys() - known.keys())
    if unknown:
        raise ConfigurationError(
            f"database {settings.database.dbname} has migrations that this version lacks ({', '.join(unknown)}): "
            "it is newer; upgrade journal-postfix"
        )
    changed = sorted(name for name, checksum in applied.items() if known[name].checksum != checksum)
    if changed:
        raise ConfigurationError(
            f"migrations {', '.join(changed)} are not those that made database {settings.database.dbname}: "
            "they must never change once applied; restore the files"
        )
    return [migration for name, migration in known.items() if name not in applied]
