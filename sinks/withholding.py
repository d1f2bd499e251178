"""What sinks may not store as it comes: people who were erased, and the names of people in rows of old days."""

from collections.abc import Collection

import msgspec
from psycopg2.extensions import cursor as Cursor  # noqa: N812 - it is a class

from sinks import erasures
from sinks.batches import Batch
from sinks.erasures import Erasures
from sinks.pseudonyms import Pseudonyms

_BORDER = "SELECT to_char(before, 'YYYY-MM-DD') FROM pseudonymised"


class Withheld(msgspec.Struct, frozen=True):
    """Who is, and what, for as long as the transaction lasts in which it was read."""

    erased: Erasures
    pseudonyms: Pseudonyms | None

    @property
    def until(self) -> str:
        """The time until which rows may have something that is."""
        return max(self.erased.latest, self.pseudonyms.before if self.pseudonyms is not None else "")

    def apply(self, batch: Batch, days: Collection[str]) -> bool:
        """Change what of *batch*, whose rows are of *days*, may not be stored; tell whether there was any."""
        changed = self.erased.apply(batch)
        if self.pseudonyms is not None and days and min(days) < self.pseudonyms.before:
            changed |= self.pseudonyms.apply(batch)
        return changed


def read(cursor: Cursor) -> Withheld:
    """Return what is withheld, and see to it, until the transaction ends, that it does not become more unseen."""
    erased = erasures.read(cursor)
    cursor.execute(_BORDER)
    row = cursor.fetchone()
    return Withheld(erased, Pseudonyms(erased.digest, row[0]) if row is not None else None)
