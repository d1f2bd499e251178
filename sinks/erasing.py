"""Erasure: a person's address is taken out of every row, and what the topics still hold is stored without it.

Every row is looked at, a partition at a time: an address may be quoted in the reply to somebody else's mail. Rows stay,
so that statistics and the fate of other people's mail do.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import msgspec
import psycopg2
import psycopg2.errors
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class
from psycopg2.extensions import cursor as Cursor  # noqa: N812
from psycopg2.sql import SQL, Composed, Identifier

from schemas.deliveries import DeliveryFrom, DeliveryTo, Rejection
from schemas.errors import ConfigurationError
from schemas.settings import Settings
from sinks.erasures import LOCK, MESSAGE_TEXTS, How, read, unquoted
from sinks.owning import insist, owning
from sinks.pseudonyms import pseudonym
from sinks.staging import selected

SOMEBODY: Final = "erased@erased.invalid"
"""Stands where a text quotes the address in the row of somebody else's mail."""

_ROWS_AT_ONCE: Final = 500
_LOCK_MS: Final = 2000
_HELD: Final = "a sink holds what has to be changed, and does not go on: look after it, then run this again"

_Row = DeliveryFrom | DeliveryTo | Rejection
Tell = Callable[[str], None]


class Count(msgspec.Struct, frozen=True):
    """What was done in one table."""

    table: str
    rows: int


class _Table(msgspec.Struct, frozen=True):
    """A table, and what of it may name a person."""

    name: str
    record: type[_Row]
    key: tuple[str, ...]
    time: str
    texts: tuple[str, ...]
    """What may be, or quote, an address."""

    @property
    def columns(self) -> tuple[str, ...]:
        """What is read: what a record needs, and its texts."""
        needed = [field.name for field in msgspec.structs.fields(self.record) if field.required]
        return tuple(dict.fromkeys((*self.key, *needed, *self.texts)))


_TABLES: Final = (
    _Table(
        "delivery_from",
        DeliveryFrom,
        ("arrived_at", "queue_id", "host"),
        "arrived_at",
        ("sasl_username", "sasl_sender", *MESSAGE_TEXTS),
    ),
    _Table(
        "delivery_to",
        DeliveryTo,
        ("arrived_at", "queue_id", "host", "recipient", "orig_recipient"),
        "arrived_at",
        ("recipient", "orig_recipient", "reply", "history"),
    ),
    _Table(
        "noqueue",
        Rejection,
        ("at", "host", "digest"),
        "at",
        ("sender", "recipient", "sasl_username", "reply", "helo"),
    ),
)


def erase(settings: Settings, address: str, how: How, tell: Tell, *, dry_run: bool = False) -> list[Count]:
    """Take *address* out of the mail that has arrived; return how many rows of each table were changed.

    For the owner of the tables. May be done again, and goes on where it was broken off. Raises ConfigurationError (no
    address, not the owner) and TryAgainLaterError (the server went away, a sink stands still amid its transaction).
    """
    local, at, domain = address.rpartition("@")
    if not local or not at or not domain or any(character.isspace() for character in address):
        raise ConfigurationError(f"{address!r} is no address: give one such as anna@example.org")
    with owning(settings, "erase") as connection:
        if not dry_run:
            insist(partial(_enter, connection, address, how), _HELD)
        erasing = _Erasing(connection, address, how, tell, dry_run=dry_run)
        return [*map(erasing.table, _TABLES), erasing.names()]


def _enter(connection: Connection, address: str, how: How) -> None:
    """Note who is erased, once no sink writes that does not know it."""
    with connection, connection.cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = %s", (_LOCK_MS,))
        digest = read(cursor).digest(address)
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        cursor.execute(
            "INSERT INTO erasures (digest, erased_at, how) VALUES (%s, clock_timestamp(), %s) "
            "ON CONFLICT (digest) DO UPDATE SET erased_at = excluded.erased_at, how = excluded.how",
            (digest, how),
        )


class _Erasing:
    """One address, and the connection over which it is taken out."""

    def __init__(self, connection: Connection, address: str, how: How, tell: Tell, *, dry_run: bool) -> None:
        self._connection = connection
        self._address = address
        self._tell = tell
        self._dry_run = dry_run
        with connection, connection.cursor() as cursor:
            self._erasures = read(cursor)
        self._pseudonym = f"{pseudonym(self._erasures.digest(address))}@{address.rpartition('@')[2].lower()}"
        if dry_run:
            self._erasures.add(address, how)

    def table(self, table: _Table) -> Count:
        """Take it out of a table, a partition after the other."""
        with self._connection, self._connection.cursor() as cursor:
            cursor.execute(
                "SELECT child.relname FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid "
                "WHERE inhparent = %s::regclass ORDER BY child.relname",
                (table.name,),
            )
            partitions = [name for (name,) in cursor.fetchall()]
        rows = 0
        for number, partition in enumerate(partitions, 1):
            keys = self._find(table, partition)
            changed = 0
            for start in range(0, len(keys), _ROWS_AT_ONCE):
                changed += insist(partial(self._rewrite, table, keys[start : start + _ROWS_AT_ONCE]), _HELD)
            if changed:
                self._tell(f"{partition}: {changed:,} rows ({number} of {len(partitions)})")
            rows += changed
        return Count(table.name, rows)

    def names(self) -> Count:
        """Forget that the address is known."""
        which = SQL("{} FROM known_names WHERE lower(name) = lower(%s) OR position(%s IN lower(name)) > 0 OR name = %s")
        with self._connection, self._connection.cursor() as cursor:
            cursor.execute(which.format(SQL("SELECT" if self._dry_run else "DELETE")), self._forms())
            return Count("known_names", cursor.rowcount)

    def _forms(self) -> tuple[str, str, str]:
        """Return the address as it stands in a text, as VERP writes it, and as rows of old days have it."""
        address = self._address.lower()
        return address, "=".join(address.rsplit("@", 1)), self._pseudonym

    def _find(self, table: _Table, partition: str) -> list[tuple[Any, ...]]:
        """Return the keys of the rows of *partition* that may name the address."""
        texts = SQL(", ").join(
            SQL("array_to_string({}, ' ')" if column == "history" else "{}").format(Identifier(column))
            for column in table.texts
        )
        with self._connection, self._connection.cursor() as cursor:
            # As a whole: one look at a row instead of one at each of its texts.
            cursor.execute(
                SQL(
                    "SELECT {key} FROM (SELECT {key}, lower(concat_ws(' ', {texts})) AS text FROM {partition} "
                    "OFFSET 0) AS row WHERE position(%s IN text) > 0 OR position(%s IN text) > 0 "
                    "OR position(%s IN text) > 0 ORDER BY {key}"
                ).format(key=SQL(", ").join(map(Identifier, table.key)), texts=texts, partition=Identifier(partition)),
                self._forms(),
            )
            return cursor.fetchall()

    def _rewrite(self, table: _Table, keys: Sequence[tuple[Any, ...]]) -> int:
        """Change the rows of *keys* in one transaction, as they are by now, in order, as sinks do; return how many."""
        where = SQL(" AND ").join(SQL("{} = %s").format(Identifier(column)) for column in table.key)
        select = SQL("SELECT {} FROM {} WHERE {} {}").format(
            SQL(", ").join(map(selected, table.columns)),
            Identifier(table.name),
            where,
            SQL("" if self._dry_run else "FOR UPDATE"),
        )
        with self._connection, self._connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = %s", (_LOCK_MS,))
            changed = 0
            for key in keys:
                cursor.execute(select, key)
                for row in cursor.fetchall():
                    if changes := self._changes(table, dict(zip(table.columns, row, strict=True))):
                        changed += 1
                        if not self._dry_run:
                            _update(cursor, table, where, key, changes)
            return changed

    def _changes(self, table: _Table, row: dict[str, Any]) -> dict[str, Any]:
        """Return the texts of *row* that are others without the address."""
        record = table.record(**row)
        if isinstance(record, Rejection):
            record = self._erasures.leave_rejection(record)
        elif isinstance(record, DeliveryTo):
            self._erasures.leave_delivery(record)
        else:
            self._erasures.leave_message(record)
        left = {
            column: _unquoted(_unquoted(getattr(record, column), self._address), self._pseudonym)
            for column in table.texts
        }
        return {column: value for column, value in left.items() if value != row[column]}


def _unquoted(value: Any, address: str) -> Any:
    if isinstance(value, list):
        return [unquoted(entry, address, SOMEBODY) for entry in value]
    return unquoted(value, address, SOMEBODY) if value else value


def _update(cursor: Cursor, table: _Table, where: Composed, key: Sequence[Any], changes: dict[str, Any]) -> None:
    sets = SQL(", ").join(SQL("{} = %s").format(Identifier(column)) for column in changes)
    name = Identifier(table.name)
    cursor.execute("SAVEPOINT one")
    try:
        cursor.execute(SQL("UPDATE {} SET {} WHERE {}").format(name, sets, where), (*changes.values(), *key))
    except psycopg2.errors.UniqueViolation:  # two spellings of one address: the other one's row is there already
        cursor.execute("ROLLBACK TO SAVEPOINT one")
        cursor.execute(SQL("DELETE FROM {} WHERE {}").format(name, where), key)
    cursor.execute("RELEASE SAVEPOINT one")
