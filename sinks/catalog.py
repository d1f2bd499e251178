"""What the database says of its own tables and views: for the page that describes them."""

from typing import Final

import msgspec
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

_RELATIONS: Final = """
SELECT c.relname, c.relkind = 'v', coalesce(obj_description(c.oid, 'pg_class'), ''),
    coalesce(pg_get_partkeydef(c.oid), ''),
    ARRAY(
        SELECT a.attname::text
        FROM pg_index AS i
        CROSS JOIN LATERAL unnest(i.indkey::smallint[]) WITH ORDINALITY AS k (attnum, place)
        JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = k.attnum
        WHERE i.indrelid = c.oid AND i.indisprimary
        ORDER BY k.place
    )
FROM pg_class AS c
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition
ORDER BY c.relkind = 'v' DESC, c.relname
"""

_COLUMNS: Final = """
SELECT a.attname::text, format_type(a.atttypid, a.atttypmod), a.attnotnull,
    coalesce(col_description(a.attrelid, a.attnum), '')
FROM pg_attribute AS a
WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
"""


class Column(msgspec.Struct, frozen=True):
    """One column of a table or view."""

    name: str
    kind: str
    """Its type, as PostgreSQL names it."""
    required: bool
    description: str


class Relation(msgspec.Struct, frozen=True):
    """One table or view."""

    name: str
    is_view: bool
    description: str
    partitioned_by: str
    """Such as ``RANGE (arrived_at)``; empty where it has no partitions."""
    primary_key: tuple[str, ...]
    columns: tuple[Column, ...]


def relations(connection: Connection) -> list[Relation]:
    """Return the tables and views of the connection's schema: views first, each kind by name; partitions are none."""
    with connection.cursor() as cursor:
        cursor.execute(_RELATIONS)
        found = []
        for name, is_view, description, partitioned_by, primary_key in cursor.fetchall():
            cursor.execute(_COLUMNS, (name,))
            columns = tuple(Column(*row) for row in cursor.fetchall())
            found.append(Relation(name, is_view, description, partitioned_by, tuple(primary_key), columns))
    return found
