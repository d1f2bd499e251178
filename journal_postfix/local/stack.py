"""What of Kafka and PostgreSQL is not configured runs here: for ``up``, or for as long as one command takes."""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Final, Self

from journal_postfix.local.broker import EmbeddedBroker
from journal_postfix.local.data_dir import DataDir, Kind, Running, database_record
from journal_postfix.local.database import EmbeddedDatabase
from journal_postfix.local.keeping import Part, kept
from journal_postfix.local.locks import LockHeldError
from schemas.errors import ConfigurationError
from schemas.settings import Settings

WAIT_SECONDS: Final = 60.0
"""How long to wait for whoever holds the data folder: until ``up`` has started, or a command has ended."""
_POLL_SECONDS: Final = 0.1
_PARTITIONS: Final = 2
"""Of an embedded broker, where the settings say nothing."""


class LocalStack:
    """The embedded parts of ``up``: those that the settings do not configure. A context manager."""

    def __init__(self, settings: Settings) -> None:
        """Take the settings. Nothing is started."""
        self.settings = settings
        """The settings; inside the context complete, with the addresses of what runs."""
        self._given = settings
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Take the data folder and start the parts.

        Raises ConfigurationError (another ``up`` runs there, the folder can't be written, nothing to start the parts
        with) and TryAgainLaterError (a part does not start).
        """
        data_dir = DataDir(self._given.data_dir)
        data_dir.make()
        with ExitStack() as stack:
            _hold(stack, data_dir)
            self.settings = stack.enter_context(_started(self._given, data_dir, "up", broker=True, database=True))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()


def _hold(stack: ExitStack, data_dir: DataDir) -> None:
    holder = data_dir.holder()
    wait = 0.0 if holder is not None and holder.kind == "up" else WAIT_SECONDS
    try:
        stack.enter_context(data_dir.held("up", wait))
    except LockHeldError:
        raise _busy(data_dir) from None


def _busy(data_dir: DataDir) -> ConfigurationError:
    holder = data_dir.holder()
    who = f"process {holder.pid}" if holder else "a process that has not said its id"
    what = "a command that needs its database" if holder and holder.kind == "command" else "`journal-postfix up`"
    return ConfigurationError(f"{what} runs in {data_dir.path} ({who}): stop it, or give this one another --data-dir")


@contextmanager
def _started(settings: Settings, data_dir: DataDir, kind: Kind, *, broker: bool, database: bool) -> Iterator[Settings]:
    """Start what is needed and not configured; yield the complete settings, and stop it at the end."""
    kafka = EmbeddedBroker(data_dir.broker, settings)
    postgres = EmbeddedDatabase(data_dir.database, settings)
    with_kafka = broker and settings.kafka.bootstrap_servers is None
    with_postgres = database and settings.database.host is None
    parts: list[Part] = [*([kafka] if with_kafka else []), *([postgres] if with_postgres else [])]
    with kept(parts):
        running = Running(
            pid=os.getpid(),
            kind=kind,
            bootstrap_servers=kafka.bootstrap_servers if with_kafka else None,
            database=database_record(postgres.settings) if with_postgres else None,
        )
        data_dir.tell(running)
        yield _complete(settings, data_dir, running)


def _complete(settings: Settings, data_dir: DataDir, running: Running) -> Settings:
    kafka, database = settings.kafka, settings.database
    if kafka.bootstrap_servers is None and running.bootstrap_servers is not None:
        kafka = kafka.model_copy(
            update={
                "bootstrap_servers": running.bootstrap_servers,
                "security_protocol": "PLAINTEXT",
                "replication_factor": 1,
                # Nobody shares the work here, and each partition has transactions of its own: with 8, a line costs a
                # quarter more.
                "partitions": kafka.partitions if "partitions" in kafka.model_fields_set else _PARTITIONS,
            }
        )
    if database.host is None and running.database is not None:
        no_more = {"password": None, "password_file": None, "sslmode": None, "sslrootcert": None}
        database = database.model_copy(update={**running.database, **no_more})
    return settings.model_copy(update={"kafka": kafka, "database": database, "data_dir": data_dir.path})


@contextmanager
def attach(settings: Settings, *, broker: bool, database: bool) -> Iterator[Settings]:
    """Yield complete settings for a command that needs a *broker*, a *database* or both.

    What is not configured is that of the ``up`` that runs in the data folder, else it is started for as long as the
    block takes. Raises ConfigurationError where there is no data yet, and what `LocalStack` raises.
    """
    broker = broker and settings.kafka.bootstrap_servers is None
    database = database and settings.database.host is None
    if not broker and not database:
        yield settings
        return
    data_dir = DataDir(settings.data_dir)
    _require_data(settings, data_dir, broker=broker, database=database)
    deadline = time.monotonic() + WAIT_SECONDS
    with ExitStack() as stack:
        while (complete := _joined(stack, settings, data_dir, broker=broker, database=database)) is None:
            if time.monotonic() > deadline:
                raise _busy(data_dir)
            time.sleep(_POLL_SECONDS)  # for a process that has yet to write where its parts are, or to end
        yield complete


def _joined(
    stack: ExitStack, settings: Settings, data_dir: DataDir, *, broker: bool, database: bool
) -> Settings | None:
    """Be a guest of who runs here, or run the parts ourselves; None where neither can be done yet."""
    try:
        stack.enter_context(data_dir.held("command"))
    except LockHeldError:
        with ExitStack() as visit:
            visit.enter_context(data_dir.visited())
            running = data_dir.running()
            if running is None or not _has(running, data_dir, broker=broker, database=database):
                return None
            stack.push(visit.pop_all())
            return _complete(settings, data_dir, running)
    complete = stack.enter_context(_started(settings, data_dir, "command", broker=broker, database=database))
    stack.callback(data_dir.see_guests_off)
    return complete


def _require_data(settings: Settings, data_dir: DataDir, *, broker: bool, database: bool) -> None:
    try:
        there = (not broker or EmbeddedBroker(data_dir.broker, settings).has_data()) and (
            not database or EmbeddedDatabase(data_dir.database, settings).has_data()
        )
    except PermissionError:
        raise ConfigurationError(
            f"cannot read {data_dir.path}: run this as the user that runs `journal-postfix up`"
        ) from None
    if not there and data_dir.holder() is None:  # who holds it may be about to make them
        if broker and settings.database.host is not None:
            raise ConfigurationError(
                "no Kafka is configured: set kafka.bootstrap_servers (--bootstrap-servers HOST:PORT); "
                f"nor is one of `journal-postfix up` in {data_dir.path}"
            )
        if database and settings.kafka.bootstrap_servers is not None:
            raise ConfigurationError(
                "no PostgreSQL is configured: set database.host (--database-host HOST, or the folder of its socket); "
                f"nor is one of `journal-postfix up` in {data_dir.path}"
            )
        raise ConfigurationError(
            f"nothing here yet (in {data_dir.path}): run `journal-postfix up --logfile /var/log/mail.log` first, "
            "or give your own Kafka and PostgreSQL with --bootstrap-servers and --database-host"
        )


def _has(running: Running, data_dir: DataDir, *, broker: bool, database: bool) -> bool:
    """Tell whether what runs has what is needed. Raises ConfigurationError where ``up`` uses another one."""
    lacking = [
        name
        for name, lacks in (
            ("a Kafka", broker and running.bootstrap_servers is None),
            ("a PostgreSQL", database and running.database is None),
        )
        if lacks
    ]
    if lacking and running.kind == "up":
        raise ConfigurationError(
            f"`journal-postfix up` in {data_dir.path} (process {running.pid}) uses {' and '.join(lacking)} of your "
            "own: give its address to this command too"
        )
    return not lacking
