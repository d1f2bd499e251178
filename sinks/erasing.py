"""Erasure: a person's address is taken out of every row, and what the topics still hold is stored without it.

Every row is looked at, a partition at a time: an address may be quoted in the reply to somebody else's mail. Rows stay,
so that statistics and the fate of other people's mail do.
"""

import io
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import msgspec
import psycopg2
import psycopg2.errors
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class
from psycopg2.extensions import cursor as Cursor  # noqa: N812
from psycopg2.sql import SQL, Composable, Composed, Identifier

from schemas.deliveries import DeliveryFrom, DeliveryTo, Rejection
from schemas.errors import ConfigurationError
from schemas.settings import Settings
from sinks.erasures import LOCK, LOGIN, NAMES, SOMEBODY, TEXTS, How, read
from sinks.known_names import MOST_CHARACTERS, Name, store
from sinks.merging import MERGE_TO
from sinks.owning import insist, owning
from sinks.pseudonyms import pseudonym
from sinks.quoting import forms_of, without
from sinks.staging import FROM, NOQUEUE, TO, copy_text, read_rows, selected

_ROWS_AT_ONCE: Final = 500
_LOCK_MS: Final = 2000
_HELD: Final = "a sink holds what has to be changed, and does not go on: look after it, then run this again"

_is_address: Final = re.compile(r"(?:\"(?:[^\"\\]|\\.)+\"|\S+)@[^\s@]+").fullmatch
_is_login: Final = re.compile(r"[^\s@]+").fullmatch

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

    @property
    def texts(self) -> tuple[str, ...]:
        """What may be, or quote, an address."""
        return NAMES[self.record] + TEXTS[self.record]

    @property
    def columns(self) -> tuple[str, ...]:
        """What is read: what a record needs, and its texts."""
        needed = [field.name for field in msgspec.structs.fields(self.record) if field.required]
        return tuple(dict.fromkeys((*self.key, *needed, *self.texts)))


_TABLES: Final = (
    _Table(FROM.target, DeliveryFrom, FROM.key),
    _Table(TO.target, DeliveryTo, TO.key),
    _Table(NOQUEUE.target, Rejection, NOQUEUE.key),
)


def erase(settings: Settings, address: str, how: How, tell: Tell, *, dry_run: bool = False) -> list[Count]:
    """Take *address* out of the mail that has arrived; return how many rows of each table were changed.

    What has no domain is a login, and taken out where it stands as one. For the owner of the tables. May be done again,
    and goes on where it was broken off. Raises ConfigurationError (no address, not the owner) and TryAgainLaterError
    (the server went away, a sink stands still amid its transaction).
    """
    if not _is_address(address) and not _is_login(address):
        raise ConfigurationError(f"{address!r} is no address: give one such as anna@example.org, or a login")
    with owning(settings, "erase") as connection:
        erasing = _Erasing(connection, address, how, tell, dry_run=dry_run)
        names = insist(erasing.begin, _HELD)
        return [*map(erasing.table, _TABLES), names]


class _Erasing:
    """One address, and the connection over which it is taken out."""

    def __init__(self, connection: Connection, address: str, how: How, tell: Tell, *, dry_run: bool) -> None:
        self._connection = connection
        self._address = address
        self._how = how
        self._tell = tell
        self._dry_run = dry_run
        with connection, connection.cursor() as cursor:
            self._erasures = read(cursor).only(address, how)

    def begin(self) -> Count:
        """Note who is erased, once no sink writes that does not know it, and forget that the address is known.

        Both at once: a sink that knows who is erased stores such a name anew when the person's later mail comes.
        """
        with self._connection, self._connection.cursor() as cursor:
            if not self._dry_run:
                cursor.execute("SET LOCAL lock_timeout = %s", (_LOCK_MS,))
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
                cursor.execute(
                    "INSERT INTO erasures (digest, erased_at, how) VALUES (%s, clock_timestamp(), %s) "
                    "ON CONFLICT (digest) DO UPDATE SET erased_at = excluded.erased_at, how = excluded.how",
                    (self._erasures.digest(self._address), self._how),
                )
            where, pieces = self._named(SQL("lower(name)"))
            cursor.execute(SQL("SELECT kind, name FROM known_names WHERE {}").format(where), pieces)
            gone = [(kind, name) for kind, name in cursor.fetchall() if self._erasures.without(name) != name]
            if gone and not self._dry_run:
                cursor.execute(
                    "DELETE FROM known_names USING unnest(%s::text[], %s::text[]) AS gone (kind, name) "
                    "WHERE known_names.kind = gone.kind AND known_names.name = gone.name",
                    [*map(list, zip(*gone, strict=True))],
                )
            return Count("known_names", len(gone))

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

    def _named(self, text: Composable) -> tuple[Composable, list[str]]:
        """Return the condition that *text*, in lower case, may name the address, and what goes into it.

        It may as VERP writes it, and as rows of old days have it, too. PostgreSQL knows the case of ASCII letters only:
        it is asked for what lies between others, and the rows that it finds are looked at once more.
        """
        forms = [[*filter(None, re.split(r"[^\x00-\x7f]+", form.lower()))] for form in forms_of(self._address)]
        forms.append([pseudonym(self._erasures.digest(self._address))])
        each = SQL("position(%s IN {}) > 0").format(text)
        where = SQL(" OR ").join(SQL(" AND ").join([each] * len(pieces)) for pieces in forms)
        return where, [piece for pieces in forms for piece in pieces]

    def _find(self, table: _Table, partition: str) -> list[tuple[Any, ...]]:
        """Return the keys of the rows of *partition* that may name the address."""
        looked_at = table.texts if "@" in self._address else [name for name in table.texts if name == LOGIN]
        if not looked_at:
            return []
        texts = SQL(", ").join(
            SQL("array_to_string({}, ' ')" if column == "history" else "{}").format(Identifier(column))
            for column in looked_at
        )
        where, pieces = self._named(SQL("text"))
        with self._connection, self._connection.cursor() as cursor:
            # As a whole: one look at a row instead of one at each of its texts.
            cursor.execute(
                SQL(
                    "SELECT {key} FROM (SELECT {key}, lower(concat_ws(' ', {texts})) AS text FROM {partition} "
                    "OFFSET 0) AS row WHERE {where} ORDER BY {key}"
                ).format(
                    key=SQL(", ").join(map(Identifier, table.key)),
                    texts=texts,
                    partition=Identifier(partition),
                    where=where,
                ),
                pieces,
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
            changed, names = 0, set[Name]()
            for key in keys:
                cursor.execute(select, key)
                for row in cursor.fetchall():
                    record = table.record(**dict(zip(table.columns, row, strict=True)))
                    if changes := self._changes(table, record):
                        changed += 1
                        if not self._dry_run:
                            _update(cursor, table, where, key, changes)
                            names |= _names_of(changes)
            if names and table.record is not Rejection:
                store(cursor, names, datetime.now(UTC).date())
            return changed

    def _changes(self, table: _Table, record: _Row) -> dict[str, Any]:
        """Return the texts of *record* that are others without the address."""
        old = {column: getattr(record, column) for column in table.texts}
        if isinstance(record, Rejection):
            record = self._erasures.leave_rejection(record)
        elif isinstance(record, DeliveryTo):
            self._erasures.leave_delivery(record)
        else:
            self._erasures.leave_message(record)
        new = {column: getattr(record, column) for column in table.texts}
        if "@" in self._address:  # of characters, maybe, that no sink takes for an address within a text
            new |= {column: _without(new[column], self._address) for column in TEXTS[table.record]}
        return {column: value for column, value in new.items() if value != old[column]}


def _names_of(changes: Mapping[str, Any]) -> set[Name]:
    names = [(kind, changes.get(kind)) for kind in ("sender", "recipient")]
    return {(kind, name) for kind, name in names if name and len(name) <= MOST_CHARACTERS}


def _without(value: Any, address: str) -> Any:
    if isinstance(value, list):
        return [without(entry, address, SOMEBODY) for entry in value]
    return without(value, address, SOMEBODY) if value else value


def _update(cursor: Cursor, table: _Table, where: Composed, key: Sequence[Any], changes: dict[str, Any]) -> None:
    sets = SQL(", ").join(SQL("{} = %s").format(Identifier(column)) for column in changes)
    name = Identifier(table.name)
    cursor.execute("SAVEPOINT one")
    try:
        cursor.execute(SQL("UPDATE {} SET {} WHERE {}").format(name, sets, where), (*changes.values(), *key))
    except psycopg2.errors.UniqueViolation:  # two spellings of one address: the other one's row is there already
        cursor.execute("ROLLBACK TO SAVEPOINT one")
        _merge(cursor, where, key, changes)
    cursor.execute("RELEASE SAVEPOINT one")


def _merge(cursor: Cursor, where: Composed, key: Sequence[Any], changes: dict[str, Any]) -> None:
    """Merge a delivery with the one that has the key which it gets by *changes*."""
    [row] = read_rows(cursor, TO, TO.target, SQL("WHERE {}").format(where), key)
    cursor.execute(SQL("DELETE FROM {} WHERE {}").format(Identifier(TO.target), where), key)
    cursor.execute(TO.create)
    text = copy_text(TO.columns, [msgspec.structs.replace(row, **changes)])
    cursor.copy_expert(TO.copy, io.BytesIO(text))
    cursor.execute(MERGE_TO)
    cursor.execute(SQL("DROP TABLE {}").format(Identifier(TO.table)))
