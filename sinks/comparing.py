"""What two sets of tables tell differently: the live ones and those of a replay, day by day."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
from psycopg2.extensions import cursor as Cursor  # noqa: N812 - it is a class
from psycopg2.sql import SQL, Composable, Identifier, Literal

from schemas.settings import Settings
from sinks.second_sets import connected
from sinks.staging import TABLES, Staged

_LEFT_OUT: Final = frozenset({"parser", "older"})
"""Columns that say who read a row, not what it says."""

_WITHOUT_PARSER: Final = (
    "regexp_replace(array_to_string({}, E'\\n'), E'(^|\\n)([^\\t]*\\t[^\\t]*\\t[0-9]+)\\\\.[0-9]+', '\\1\\2', 'g')"
)
"""A history, whose entries name the parser that read them, for comparing."""


class Difference(msgspec.Struct, frozen=True):
    """One row that differs, or that one of the sets lacks."""

    table: str
    key: dict[str, str]
    kind: str
    """``only live``, ``only replayed`` or ``different``."""
    columns: dict[str, tuple[Any, Any]]
    """What differs: live and replayed."""


class Compared(msgspec.Struct):
    """What was found in one table."""

    table: str
    equal: int = 0
    different: int = 0
    only_live: int = 0
    only_replayed: int = 0
    parts: int = 0
    """Of messages that arrived before, and whose arrival the replay did not see: only in the replayed set, and no
    difference, since a swap joins them."""
    columns: dict[str, int] = {}
    """How many rows differ in a column."""

    @property
    def same(self) -> bool:
        """Whether nothing differs."""
        return not (self.different or self.only_live or self.only_replayed)


def compare(
    settings: Settings, schema: str, since: datetime, until: datetime, limit: int
) -> Iterator[Compared | Difference]:
    """Yield what the live tables and those in *schema* tell differently of mail between the two moments.

    First up to *limit* examples of each table, then its counts. Raises ConfigurationError and TryAgainLaterError.
    """
    with connected(settings, "compare tables in") as connection, connection, connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        for staged in TABLES:
            table = _Table(staged, settings.database.schema_name, schema)
            found = Compared(staged.target)
            left = limit
            for begin, end in _days(since, until):
                before = found.different + found.only_live + found.only_replayed
                table.count(cursor, begin, end, found)
                if left and found.different + found.only_live + found.only_replayed > before:
                    for example in table.examples(cursor, begin, end, left):
                        left -= 1
                        yield example
            yield found


class _Table:
    """The two tables of one name."""

    def __init__(self, staged: Staged, live: str, schema: str) -> None:
        self._name = staged.target
        self._time = staged.time
        # The time first: that is what a person looks for.
        self._key = (staged.time, *(name for name in staged.key if name != staged.time))
        self._columns = [name for name in staged.columns if name not in _LEFT_OUT and name not in self._key]
        self._live, self._replayed = Identifier(live, self._name), Identifier(schema, self._name)

    def count(self, cursor: Cursor, begin: datetime, end: datetime, found: Compared) -> None:
        """Add what the mail between two moments has."""
        counted = [
            SQL("count(*) FILTER (WHERE both_there AND {})").format(self._differs(name)) for name in self._columns
        ]
        cursor.execute(
            SQL(
                "SELECT count(*) FILTER (WHERE both_there), count(*) FILTER (WHERE both_there AND ({differs})), "
                "count(*) FILTER (WHERE replayed.there IS NULL), "
                "count(*) FILTER (WHERE live.there IS NULL AND NOT {part}), "
                "count(*) FILTER (WHERE live.there IS NULL AND {part}), {counted} FROM {joined}"
            ).format(
                differs=self._any_differs(),
                part=self._is_part(),
                counted=SQL(", ").join(counted),
                joined=self._joined(begin, end),
            )
        )
        [(both, different, only_live, only_replayed, parts, *columns)] = cursor.fetchall()
        found.equal += both - different
        found.different += different
        found.only_live += only_live
        found.only_replayed += only_replayed
        found.parts += parts
        for name, count in zip(self._columns, columns, strict=True):
            if count:
                found.columns[name] = found.columns.get(name, 0) + count

    def examples(self, cursor: Cursor, begin: datetime, end: datetime, most: int) -> Iterator[Difference]:
        """Yield the first differences of the mail between two moments."""
        flags = SQL(", ").join(
            SQL("CASE WHEN both_there AND {} THEN {} END").format(self._differs(name), Literal(name))
            for name in self._columns
        )
        cursor.execute(
            SQL(
                "SELECT ARRAY[{key}], CASE WHEN both_there THEN 'different' WHEN live.there THEN 'only live' "
                "ELSE 'only replayed' END, array_remove(ARRAY[{flags}], NULL), to_jsonb(live), to_jsonb(replayed) "
                "FROM {joined} WHERE (both_there AND ({differs})) OR replayed.there IS NULL "
                "OR (live.there IS NULL AND NOT {part}) ORDER BY {order} LIMIT {most}"
            ).format(
                key=SQL(", ").join(SQL("{}::text").format(Identifier(name)) for name in self._key),
                flags=flags,
                joined=self._joined(begin, end),
                differs=self._any_differs(),
                part=self._is_part(),
                order=SQL(", ").join(map(Identifier, self._key)),
                most=Literal(most),
            )
        )
        for key, kind, columns, live, replayed in cursor.fetchall():
            told = {name: (live[name], replayed[name]) for name in columns}
            yield Difference(self._name, dict(zip(self._key, key, strict=True)), kind, told)

    def _joined(self, begin: datetime, end: datetime) -> Composable:
        return SQL(
            "(SELECT *, true AS there FROM {live} WHERE {time} >= {begin} AND {time} < {end}) AS live "
            "FULL JOIN "
            "(SELECT *, true AS there FROM {replayed} WHERE {time} >= {begin} AND {time} < {end}) AS replayed "
            "USING ({key}) CROSS JOIN LATERAL (SELECT live.there AND replayed.there AS both_there) AS presence"
        ).format(
            live=self._live,
            replayed=self._replayed,
            time=Identifier(self._time),
            begin=Literal(begin),
            end=Literal(end),
            key=SQL(", ").join(map(Identifier, self._key)),
        )

    def _any_differs(self) -> Composable:
        return SQL(" OR ").join(map(self._differs, self._columns))

    @staticmethod
    def _differs(column: str) -> Composable:
        live, replayed = SQL("live.{}").format(Identifier(column)), SQL("replayed.{}").format(Identifier(column))
        if column == "history":
            live, replayed = SQL(_WITHOUT_PARSER).format(live), SQL(_WITHOUT_PARSER).format(replayed)
        return SQL("{} IS DISTINCT FROM {}").format(live, replayed)

    def _is_part(self) -> Composable:
        return SQL("coalesce(replayed.origin = 0, false)" if "origin" in self._columns else "false")


def _days(since: datetime, until: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Yield the UTC days between two moments, so that no query is planned over the partitions of all."""
    begin = since
    while begin < until:
        midnight = begin.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        yield begin, min(midnight, until)
        begin = midnight
