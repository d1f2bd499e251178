"""The embedded database: PostgreSQL on a private socket."""

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

import psycopg2
from psycopg2 import sql

from journal_postfix.local.account import WAYS_OUT, Account, database_account
from journal_postfix.local.database_config import CONFIGURATION_FILE, INITDB_ARGUMENTS, ROLE, SUPERUSER, configuration
from journal_postfix.local.guarded import Command, GuardedProcess
from journal_postfix.local.locks import LockHeldError, cannot_write, is_there, locked, made_folder
from journal_postfix.local.postgres_files import reachable_postgres
from journal_postfix.local.socket_dir import PORT, forget_socket_dir, made_socket_dir
from schemas.errors import ConfigurationError, TryAgainLaterError
from schemas.settings import DatabaseSettings, Settings

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

_FAULT: Final = re.compile(r"\b(?:FATAL|PANIC|ERROR|error):")
START_SECONDS: Final = 180.0
"""How long it may take to answer: recovery after a crash reads up to 1 GB."""
STOP_SECONDS: Final = 60.0
LOCK_SECONDS: Final = 75.0
"""How long to wait for a server whose parent was killed and that is still shutting down."""


class EmbeddedDatabase:
    """One PostgreSQL server, whose data stays in its folder. A context manager."""

    name = "the embedded PostgreSQL"

    def __init__(self, data_dir: Path, settings: Settings) -> None:
        """Take the folder of its data and the settings that name the database. Nothing is started."""
        self._folder, self._database = data_dir, settings.database
        self._process: GuardedProcess | None = None
        self._socket_dir: Path | None = None

    @property
    def settings(self) -> DatabaseSettings:
        """What reaches it, as the role that owns the database."""
        return self._reaching(ROLE, self._database.dbname)

    @property
    def superuser(self) -> DatabaseSettings:
        """What reaches it as the superuser."""
        return self._reaching(SUPERUSER, "postgres")

    @property
    def pid(self) -> int | None:
        """Process id of the server, while it runs."""
        return self._process.pid if self._process is not None and self._process.exit_code() is None else None

    @property
    def running(self) -> bool:
        """Whether its process is there."""
        return self.pid is not None

    def has_data(self) -> bool:
        """Tell whether it was started before. Raises PermissionError for another user's."""
        return is_there(self._folder / "data")

    def start(self) -> None:
        """Start the server and make the database where it is missing; return when it answers.

        Raises ConfigurationError (nothing installed, the folder can't be used) and TryAgainLaterError (no start).
        """
        account = database_account()
        made_folder(self._folder)
        try:
            self._prepare_folder(account)
            programs = reachable_postgres(account, self._folder)
            with locked(self._folder / "lock", LOCK_SECONDS) as lock:
                self._init(programs, account)
                self._socket_dir = made_socket_dir(self._folder, account)
                self._write_configuration(self._socket_dir)
                self._process = GuardedProcess(self._command(programs, account), lock)
            self._wait_until_answering()
            self._make_database()
        except LockHeldError:
            raise ConfigurationError(f"another process uses the database in {self._folder}: stop it first") from None
        except OSError as error:
            self.kill()
            raise cannot_write(self._folder, error) from error
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """End the server cleanly; sessions that are still there are cut."""
        if self._process is not None:
            self._process.stop()
            forget_socket_dir(self._folder)

    def kill(self) -> None:
        """End the server as a crash would."""
        if self._process is not None:
            self._process.kill()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _reaching(self, user: str, dbname: str) -> DatabaseSettings:
        return self._database.model_copy(
            update={
                "host": str(self._socket_dir),
                "port": PORT,
                "user": user,
                "dbname": dbname,
                "password": None,
                "password_file": None,
                "sslmode": None,
                "sslrootcert": None,
            }
        )

    def _prepare_folder(self, account: Account) -> None:
        if account.ids is None:
            return
        self._folder.chmod(0o711)
        if not account.may_enter(self._folder):
            raise ConfigurationError(
                f"PostgreSQL does not run as root but as {account.name}, which can't enter {self._folder}: "
                f"give another --data-dir, such as /var/lib/journal-postfix; {WAYS_OUT}"
            )

    def _init(self, programs: Path, account: Account) -> None:
        data, unfinished = self._folder / "data", self._folder / "data-unfinished"
        if data.exists():
            return
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        account.own(unfinished)
        user, group = account.ids or (None, None)
        done = subprocess.run(  # noqa: S603 - the wheel's program
            [programs / "bin/initdb", f"--pgdata={unfinished}", *INITDB_ARGUMENTS],
            user=user,
            group=group,
            extra_groups=[] if account.ids else None,
            umask=0o077,
            env=_environment(),
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
        if done.returncode != 0:
            raise TryAgainLaterError(f"PostgreSQL could not make its data in {self._folder}: {_cause(done.stdout)}")
        with (unfinished / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write(f"\ninclude = '../{CONFIGURATION_FILE}'\n")
        unfinished.rename(data)

    def _write_configuration(self, socket_dir: Path) -> None:
        path = self._folder / CONFIGURATION_FILE
        path.write_text(configuration(socket_dir), encoding="utf-8")
        path.chmod(0o644)

    def _command(self, programs: Path, account: Account) -> Command:
        return Command(
            arguments=[str(programs / "bin/postgres"), "-D", str(self._folder / "data")],
            environment=_environment(),
            directory=Path("/"),
            log=self._folder / "postgresql.log",
            stop_signal=signal.SIGINT,  # cuts the sessions, then shuts down in order
            death_signal=signal.SIGQUIT,  # ends its children too
            grace_seconds=STOP_SECONDS,
            ids=account.ids,
        )

    def _wait_until_answering(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START_SECONDS
        log = self._folder / "postgresql.log"
        while True:
            try:
                self._connect().close()
            except psycopg2.OperationalError as error:
                said = self._process.said() or str(error).strip()
                if (code := self._process.exit_code()) is not None:
                    raise TryAgainLaterError(
                        f"the embedded PostgreSQL ended with code {code}; its log {log} says: {said}"
                    ) from None
                if time.monotonic() > deadline:
                    raise TryAgainLaterError(
                        f"the embedded PostgreSQL does not answer after {START_SECONDS:.0f} s; "
                        f"its log {log} says: {said}"
                    ) from None
                self._process.wait(0.03)
            else:
                return

    def _connect(self) -> "Connection":
        parameters: dict[str, Any] = self.superuser.connection_parameters()
        connection: Connection = psycopg2.connect(**parameters)
        return connection

    def _make_database(self) -> None:
        connection = self._connect()
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [ROLE])
                if cursor.fetchone() is None:
                    cursor.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(ROLE)))
                cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [self._database.dbname])
                if cursor.fetchone() is None:
                    names = sql.Identifier(self._database.dbname), sql.Identifier(ROLE)
                    cursor.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(*names))
        finally:
            connection.close()


def _cause(said: str) -> str:
    """Return the lines of *said* that tell of a fault, the last ones where none does."""
    lines = [line for line in said.splitlines() if line.strip()]
    return " | ".join([line for line in lines if _FAULT.search(line)] or lines[-4:])


def _environment() -> dict[str, str]:
    return {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ} | {"LC_ALL": "C", "TZ": "UTC"}
