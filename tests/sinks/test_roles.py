"""Each role of the database can do its work and nothing more."""

import secrets
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg2
import psycopg2.errors
import pytest
from psycopg2 import sql
from pydantic import SecretStr

from schemas.errors import ConfigurationError
from schemas.settings import DatabaseSettings, RetentionSettings, Settings
from sinks.connecting import connect
from sinks.day_partitions import PARTITIONED
from sinks.migrating import migrate, pending
from sinks.purging import cutoffs, purge
from sinks.roles import KEPT, READER_RIGHTS, SINK_RIGHTS, create, grant, grant_again
from sinks.writing import Positions, Writer

pytestmark = pytest.mark.postgres

Run = Callable[..., list[tuple[Any, ...]]]
TODAY = datetime.now(UTC).date()
TABLES = (
    "delivery_from", "delivery_to", "noqueue", "tls_sessions", "delivery_counts", "sink_positions", "schema_migrations",
)  # fmt: skip


class Roles:
    """The names of a test's three roles, and settings for each on one database."""

    def __init__(self, database: DatabaseSettings) -> None:
        suffix = secrets.token_hex(4)
        self.migrator, self.sink, self.reader = (f"jp_{work}_{suffix}" for work in ("migrator", "sink", "reader"))
        self._database = database

    def settings(self, role: str, **changed: Any) -> Settings:
        return Settings(database=self._database.model_copy(update={"user": role, **changed}))


@pytest.fixture
def roles(postgres: Any) -> Iterator[Roles]:
    """Give roles made by an administrator on an empty database of nobody's, and tables made by the migrator."""
    dbname = f"t{secrets.token_hex(6)}"
    postgres.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(dbname)))
    roles = Roles(postgres.superuser.model_copy(update={"dbname": dbname}))
    password = (
        postgres.superuser.password.get_secret_value() if postgres.superuser.password else secrets.token_urlsafe()
    )
    create(
        roles.settings(postgres.superuser.user),
        migrator=roles.migrator,
        others=(roles.sink, roles.reader),
        passwords=dict.fromkeys((roles.migrator, roles.sink, roles.reader), password),
    )
    migrate(roles.settings(roles.migrator))
    grant(roles.settings(roles.migrator), sinks=[roles.sink], readers=[roles.reader])
    yield roles
    postgres.execute(
        sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(dbname)),
        *(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)) for name in (roles.migrator, roles.sink, roles.reader)),
    )


@pytest.fixture
def run_as(roles: Roles) -> Iterator[Callable[[str], Run]]:
    """Give a way to run statements as a role."""
    connections = []

    def of(role: str) -> Run:
        connection = connect(roles.settings(role).database)
        connection.autocommit = True
        connections.append(connection)

        def run(statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
            with connection.cursor() as cursor:
                cursor.execute(statement, parameters or None)
                return cursor.fetchall() if cursor.description else []

        return run

    yield of
    for connection in connections:
        connection.close()


def test_the_sink_writes_rows_of_new_days_and_its_position(
    roles: Roles, rows: Any, run_as: Callable[[str], Run]
) -> None:
    settings = roles.settings(roles.sink)
    assert pending(settings) == []
    arrived = f"{TODAY - timedelta(days=30)}T06:00:00.000000Z"
    part = rows.message(arrived, origin=0, queue_id="4F0A12C9D3")  # a short id: joining it deletes and moves rows
    batch = rows.batch(
        rows.message(arrived), rows.delivery(arrived), rows.rejection(arrived), rows.session(arrived), part
    )
    later = rows.batch(rows.message(arrived, queue_id="4F0A12C9D3", size=7))
    writer = Writer(settings)
    try:
        writer.write(batch, {("postfix.delivery-from", 0): Positions(None, 5)})
        writer.write(later, {("postfix.delivery-from", 0): Positions(5, 6)})
        assert writer.positions(["postfix.delivery-from"]) == {("postfix.delivery-from", 0): (6, 0, None)}
    finally:
        writer.close()
    read = run_as(roles.reader)
    for table in PARTITIONED:
        [(partition,)] = read(f"SELECT DISTINCT tableoid::regclass::text FROM {table}")
        assert partition == f"{table}_{TODAY - timedelta(days=30):%Y%m%d}"


def test_partitions_that_the_sink_has_made_belong_to_the_migrator(
    roles: Roles, rows: Any, run_as: Callable[[str], Run]
) -> None:
    writer = Writer(roles.settings(roles.sink))
    writer.write(rows.batch(rows.message()), {})
    writer.close()
    run = run_as(roles.migrator)
    owners = run("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'")
    assert owners == [(roles.migrator,)]
    days = run("SELECT tablename FROM pg_tables WHERE tablename ~ '^delivery_from_[0-9]+$' ORDER BY 1")
    run(f"DROP TABLE {days[0][0]}")  # as retention does


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE mine (n int)",
        "DROP TABLE noqueue",
        "ALTER TABLE delivery_from ADD COLUMN mine int",
        "TRUNCATE delivery_to",
        "CREATE TABLE one PARTITION OF delivery_from FOR VALUES FROM ('2020-01-01') TO ('2020-01-02')",
        "CREATE INDEX ON delivery_from (host)",
        "BEGIN; LOCK TABLE delivery_from_later IN ACCESS EXCLUSIVE MODE",
        "SELECT attach_day_partition('delivery_from', 'delivery_from_later', 'arrived_at', '2020-01-01')",
        "DELETE FROM sink_positions",
        "INSERT INTO schema_migrations VALUES ('9999_x.sql', '')",
        "INSERT INTO granted_roles VALUES ('postgres', 'sink')",
        "SELECT * FROM granted_roles",
        "CREATE ROLE another",
        "CREATE SCHEMA another",
        "COPY delivery_from TO PROGRAM 'true'",
    ],
)
@pytest.mark.parametrize("work", ["sink", "reader"])
def test_neither_changes_tables_or_rights(
    roles: Roles, run_as: Callable[[str], Run], work: str, statement: str
) -> None:
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        run_as(getattr(roles, work))(statement)


@pytest.mark.parametrize("table", TABLES)
def test_the_reader_reads_and_writes_nothing(roles: Roles, run_as: Callable[[str], Run], table: str) -> None:
    read = run_as(roles.reader)
    read(f"SELECT * FROM {table}")
    read("SELECT * FROM deliveries")
    column = read("SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum = 1", table)[0][0]
    for statement in (
        f"DELETE FROM {table}",
        f"INSERT INTO {table} SELECT * FROM {table}",
        f"UPDATE {table} SET {column} = {column}",
        f"SELECT make_day_partition('noqueue', '{TODAY}')",
    ):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            read(statement)


@pytest.mark.parametrize(
    ("table", "day"),
    [
        ("sink_positions", TODAY),
        ("granted_roles", TODAY),
        ("delivery_from; DROP TABLE noqueue", TODAY),
        ("noqueue", TODAY - timedelta(days=500)),
        ("noqueue", TODAY + timedelta(days=90)),
        ("noqueue", "infinity"),
        ("noqueue", None),
        (None, TODAY),
    ],
)
def test_the_function_makes_days_of_our_tables_only(
    roles: Roles, run_as: Callable[[str], Run], table: str | None, day: Any
) -> None:
    run = run_as(roles.sink)
    before = run("SELECT count(*) FROM pg_class")
    assert run("SELECT make_day_partition(%s, %s)", table, day) == [(None,)]
    assert run("SELECT count(*) FROM pg_class") == before


def test_the_function_makes_each_day_once(roles: Roles, run_as: Callable[[str], Run]) -> None:
    run = run_as(roles.sink)
    for table in PARTITIONED:
        assert run("SELECT make_day_partition(%s, %s)", table, TODAY) == [(True,)]
        assert run("SELECT make_day_partition(%s, %s)", table, TODAY) == [(False,)]


def test_the_function_believes_no_name_or_setting_of_its_caller(roles: Roles, run_as: Callable[[str], Run]) -> None:
    run = run_as(roles.sink)
    run("CREATE TEMPORARY TABLE noqueue (at timestamptz, host text)")
    run("CREATE TEMPORARY TABLE noqueue_later (at timestamptz)")
    run("CREATE FUNCTION pg_temp.to_char(date, text) RETURNS text LANGUAGE sql AS $$ SELECT 'mine' $$")
    run("SET search_path = pg_temp, public; SET timezone = 'Asia/Tokyo'; SET datestyle = 'SQL, DMY'")
    assert run("SELECT public.make_day_partition('noqueue', %s)", TODAY) == [(True,)]
    run("SET timezone = 'UTC'; SET datestyle = 'ISO'")
    assert run(
        "SELECT pg_get_expr(c.relpartbound, c.oid) FROM pg_class c WHERE c.oid = %s::regclass",
        f"public.noqueue_{TODAY:%Y%m%d}",
    ) == [(f"FOR VALUES FROM ('{TODAY} 00:00:00+00') TO ('{TODAY + timedelta(days=1)} 00:00:00+00')",)]


def test_the_function_follows_tables_to_another_schema(roles: Roles, postgres: Any) -> None:
    admin = connect(roles.settings(postgres.superuser.user).database)
    with admin, admin.cursor() as cursor:
        cursor.execute("ALTER SCHEMA public RENAME TO mail")
    admin.close()
    connection = connect(roles.settings(roles.sink, schema_name="mail").database)
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT make_day_partition('noqueue', %s)", (TODAY,))
        cursor.execute("SELECT inhparent::regclass::text FROM pg_inherits WHERE inhrelid = to_regclass(%s)",
                       (f"mail.noqueue_{TODAY:%Y%m%d}",))  # fmt: skip
        assert cursor.fetchall() == [("noqueue",)]
    connection.close()


def test_everyone_else_sees_nothing(roles: Roles, postgres: Any) -> None:
    stranger = f"jp_stranger_{secrets.token_hex(4)}"
    name = sql.Identifier(stranger)
    password = sql.Literal(postgres.superuser.password.get_secret_value() if postgres.superuser.password else "x")
    postgres.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(name, password))
    try:
        connection = connect(roles.settings(stranger).database)
        for statement in ("SELECT FROM deliveries", "SELECT FROM sink_positions", "CREATE TABLE mine (n int)",
                          f"SELECT make_day_partition('noqueue', '{TODAY}')"):  # fmt: skip
            with pytest.raises(psycopg2.errors.InsufficientPrivilege), connection, connection.cursor() as cursor:
                cursor.execute(statement)
        connection.close()
    finally:
        postgres.execute(sql.SQL("DROP ROLE {}").format(name))


def test_what_a_migration_makes_anew_is_given_again(roles: Roles, run_as: Callable[[str], Run]) -> None:
    connection = connect(roles.settings(roles.migrator).database)
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_get_viewdef('deliveries')")
        [(view,)] = cursor.fetchall()
        cursor.execute("DROP VIEW deliveries")
        cursor.execute(f"CREATE VIEW deliveries AS {view}")
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        run_as(roles.reader)("SELECT FROM deliveries")
    with connection, connection.cursor() as cursor:
        grant_again(cursor)
    connection.close()
    assert run_as(roles.reader)("SELECT count(*) FROM deliveries") == [(0,)]


def test_a_role_that_became_a_reader_writes_no_more(roles: Roles, run_as: Callable[[str], Run]) -> None:
    grant(roles.settings(roles.migrator), readers=[roles.sink])
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        run_as(roles.sink)("DELETE FROM noqueue")


def test_roles_are_made_once_and_a_password_is_kept_as_a_verifier(roles: Roles, postgres: Any) -> None:
    admin = roles.settings(postgres.superuser.user)
    again = create(admin, migrator=roles.migrator, others=(roles.sink, roles.reader), passwords={})
    assert again == []
    connection = connect(admin.database)
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT rolpassword LIKE 'SCRAM-SHA-256$%%' FROM pg_authid WHERE rolname = %s", (roles.sink,))
        assert cursor.fetchall() == [(True,)]
    connection.close()


def test_who_may_not_is_told_so(roles: Roles) -> None:
    sink = roles.settings(roles.sink)
    with pytest.raises(ConfigurationError, match="may not make roles"):
        create(sink, migrator=roles.migrator, others=("jp_nobody",), passwords={})
    with pytest.raises(ConfigurationError, match="may not grant rights"):
        grant(sink, readers=[roles.sink])
    with pytest.raises(ConfigurationError, match="cannot migrate"):
        migrate(roles.settings(roles.reader))
    with pytest.raises(ConfigurationError, match="does not exist"):
        grant(roles.settings(roles.migrator), readers=["jp_nobody"])
    with pytest.raises(ConfigurationError, match="owns the tables"):
        grant(roles.settings(roles.migrator), sinks=[roles.migrator])


def test_tables_of_another_owner_are_left_to_it(database: DatabaseSettings, postgres: Any) -> None:
    migrate(Settings(database=database))
    admin = Settings(database=postgres.superuser.model_copy(update={"dbname": database.dbname}))
    with pytest.raises(ConfigurationError, match=rf"belong to {database.user}"):
        create(admin, migrator="jp_other", others=(), passwords={})


def test_rights_can_not_be_given_before_there_are_tables(database: DatabaseSettings) -> None:
    given = database.model_copy(update={"password": SecretStr("hush-hush")} if database.password is None else {})
    with pytest.raises(ConfigurationError, match="migrate` first") as caught:
        grant(Settings(database=given), readers=["postgres"])
    assert "hush" not in str(caught.value)


def test_somebody_has_thought_of_every_table(roles: Roles, run_as: Callable[[str], Run]) -> None:
    found = run_as(roles.migrator)(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v') "
        "AND NOT relispartition"
    )
    assert {name for (name,) in found} == {*SINK_RIGHTS, *READER_RIGHTS, *KEPT}


def test_only_the_owner_purges(roles: Roles, rows: Any) -> None:
    old = datetime.now(UTC) - timedelta(days=95)
    writer = Writer(roles.settings(roles.sink))
    writer.write(rows.batch(rows.message(f"{old:%Y-%m-%d}T06:00:00.000000Z")), {})
    writer.close()
    before = cutoffs(RetentionSettings(), None, datetime.now(UTC))
    for role in (roles.sink, roles.reader):
        with pytest.raises(ConfigurationError, match="owner of the tables"):
            purge(roles.settings(role), before, lambda line: None)  # noqa: ARG005
    gone = purge(roles.settings(roles.migrator), before, lambda line: None)  # noqa: ARG005
    assert gone[0].days == [f"{old:%Y-%m-%d}"]
