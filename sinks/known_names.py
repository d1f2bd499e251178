"""The addresses and clients' names that rows hold, each once: searches for a part of one look there first.

They are stored before the rows, in a transaction of their own: one too many does no harm.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, date, datetime
from typing import Final

from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from sinks import withholding
from sinks.batches import Batch
from sinks.erasures import Erased, Erasures

MOST_CHARACTERS: Final = 600
"""Of a name; a longer one is left out. An index takes no value of any length."""

_REMEMBERED: Final = 200_000
"""Names, twice: those that were stored today are not stored again."""

_STORE: Final = (
    "INSERT INTO known_names (kind, name, seen) SELECT kind, name, %s FROM unnest(%s::text[], %s::text[]) "
    "AS given (kind, name) ORDER BY kind, name "  # in order, so that two sinks don't deadlock
    "ON CONFLICT (kind, name) DO UPDATE SET seen = excluded.seen WHERE known_names.seen < excluded.seen"
)

Name = tuple[str, str]
"""Kind and name."""


def names_of(batch: Batch) -> set[Name]:
    """Return the names that the rows of *batch* hold."""
    senders = {row.sender for row in batch.messages.values()}
    clients = {row.client_name for row in batch.messages.values()}
    recipients = {row.recipient for row in batch.deliveries.values()}
    kinds = (("sender", senders), ("client", clients), ("recipient", recipients))
    return {(kind, name) for kind, found in kinds for name in found if name and len(name) <= MOST_CHARACTERS}


def store(cursor: Cursor, names: Iterable[Name], today: date) -> None:
    """Store *names*, of which there is one at least, as written *today*."""
    kinds, texts = zip(*names, strict=True)
    cursor.execute(_STORE, (today, list(kinds), list(texts)))


class KnownNames:
    """Stores the names of batches, those of a day once."""

    def __init__(self, connection: Connection) -> None:
        """Remember nothing yet."""
        self._connection = connection
        self._day = date.min
        self._new: set[Name] = set()
        self._old: set[Name] = set()
        self._people: Mapping[bytes, Erased] = {}

    def ensure(self, batch: Batch, days: Collection[str], found: set[Name]) -> bool:
        """Store the names *found* in *batch*, whose rows are of *days*; tell whether it had some that were withheld.

        Raises what psycopg2 raises.
        """
        today = datetime.now(UTC).date()
        if today != self._day:
            self._day = today
            self._forget()
        names = found - self._new - self._old
        if not names:
            return False
        with self._connection, self._connection.cursor() as cursor:
            withheld = withholding.read(cursor)
            anew = self.is_new(withheld.erased)
            if (changed := withheld.apply(batch, days)) or anew:
                names = names_of(batch) - self._new - self._old
            if names:
                store(cursor, names, today)
        if len(self._new) >= _REMEMBERED:
            self._old, self._new = self._new, set()
        self._new |= names
        return changed

    def is_new(self, erased: Erasures) -> bool:
        """Tell whether somebody was *erased* since `ensure` looked: names that were stored may be gone, all of them."""
        if erased.people == self._people:
            return False
        self._people = erased.people
        self._forget()
        return True

    def _forget(self) -> None:
        self._new, self._old = set(), set()
