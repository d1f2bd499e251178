"""What ``check`` says of PostgreSQL: which one, are its tables as they should be, may this role use them."""

import time
from collections.abc import Iterator
from contextlib import closing

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from journal_postfix.checking.clocks import compared
from journal_postfix.checking.finding import Finding, Stage
from journal_postfix.checking.tls import database_encryption
from schemas.settings import Settings
from sinks import migrating, roles
from web.searches.database import connect, explained

TESTED = "18"


def database_findings(settings: Settings, stage: Stage | None) -> Iterator[Finding]:
    """Yield what there is to say of PostgreSQL for *stage*. Raises JournalPostfixError where it can't be asked."""
    try:
        with closing(connect(settings.database)) as connection:
            connection.set_session(readonly=True, autocommit=True)
            yield _server(settings, connection)
            yield from database_encryption(settings.database)
            yield _clock(connection)
            yield from _tables(settings, stage, connection)
    except psycopg2.Error as error:
        raise explained(error, settings.database) from None


def _server(settings: Settings, connection: Connection) -> Finding:
    version = connection.info.parameter_status("server_version")
    there = f"PostgreSQL {version} at {settings.database.host} answers"
    if connection.server_version < migrating.OLDEST_SERVER:
        needed = migrating.OLDEST_SERVER // 10_000
        return Finding(
            "PostgreSQL",
            good=False,
            text=f"{there}, and is too old: the tables' functions need {needed}",
            advice=f"upgrade it; journal-postfix is tested with {TESTED}",
        )
    return Finding("PostgreSQL", good=True, text=there)


def _clock(connection: Connection) -> Finding:
    with connection.cursor() as cursor:
        before = time.time()
        cursor.execute("SELECT extract(epoch FROM clock_timestamp())::float8")
        [(theirs,)] = cursor.fetchall()
    return compared("PostgreSQL's", theirs, before, time.time())


def _tables(settings: Settings, stage: Stage | None, connection: Connection) -> Iterator[Finding]:
    role, schema = connection.info.user, settings.database.schema_name
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_is_in_recovery(), has_schema_privilege(oid, 'USAGE'), "
            "coalesce(has_table_privilege(to_regclass('schema_migrations'), 'SELECT'), true) "
            "FROM pg_namespace WHERE nspname = %s",
            (schema,),
        )
        [(standby, usable, told)] = cursor.fetchall() or [(False, None, False)]
    if usable is None:
        yield Finding("PostgreSQL", good=False, text=f"schema {schema} is missing", advice="journal-postfix roles")
        return
    if standby and stage != "read":
        yield Finding(
            "PostgreSQL",
            good=False,
            text="it is a standby, which takes no rows",
            advice="set database.host to its primary server",
        )
    give = f"journal-postfix migrate --grant-to-{'sink' if stage == 'sink' else 'reader'} {role}, as the tables' owner"
    if not usable or not told:
        yield Finding(
            "PostgreSQL", good=False, text=f"role {role} may not look at the tables in schema {schema}", advice=give
        )
        return
    if missing := migrating.pending(settings):
        yield Finding(
            "PostgreSQL", good=False, text=f"the tables lack {', '.join(missing)}", advice="journal-postfix migrate"
        )
        return
    yield Finding("PostgreSQL", good=True, text="the tables are up to date")
    if stage in {"sink", "read"}:
        lacking = roles.lacking_rights(connection, "sink" if stage == "sink" else "reader")
        yield from (
            Finding("PostgreSQL", good=False, text=f"role {role} lacks {rights}", advice=give) for rights in lacking
        )
        if not lacking:
            yield Finding("PostgreSQL", good=True, text=f"role {role} has the rights that it needs")
