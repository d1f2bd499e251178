"""Work of the tables' owner beside running sinks: its connection, and insisting where somebody holds a lock."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

import psycopg2
import psycopg2.errors
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from schemas.errors import ConfigurationError, TryAgainLaterError, one_line
from schemas.settings import Settings
from sinks.connecting import connect

TRIES: Final = 20
PAUSE_SECONDS: Final = 2.0
"""Between tries: sinks go on meanwhile."""

_Done = TypeVar("_Done")


@contextmanager
def owning(settings: Settings, verb: str) -> Iterator[Connection]:
    """Give a connection to *verb* over, whose errors say what to do. Raises ConfigurationError, TryAgainLaterError."""
    database = settings.database
    connection = connect(database)
    try:
        yield connection
    except (psycopg2.errors.InsufficientPrivilege, psycopg2.errors.UndefinedTable) as error:
        raise ConfigurationError(
            f"role {database.user or '(default)'} may not {verb} in database {database.dbname}: {one_line(error)}; run "
            "it as the owner of the tables, who migrates them"
        ) from error
    except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
        raise TryAgainLaterError(
            f"cannot {verb} in database {database.dbname}: {one_line(error)}; run it again"
        ) from error
    finally:
        connection.close()


def insist(work: Callable[[], _Done], held: str) -> _Done:
    """Do *work*, again while others hold what it needs, and return its outcome.

    Raises TryAgainLaterError, which says *held*, when they still do after a minute.
    """
    for left in reversed(range(TRIES)):
        try:
            return work()
        except (psycopg2.errors.LockNotAvailable, psycopg2.errors.DeadlockDetected) as error:
            if not left:
                raise TryAgainLaterError(held) from error
            time.sleep(PAUSE_SECONDS)
    raise AssertionError("unreachable")
