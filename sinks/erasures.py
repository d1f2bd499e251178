"""The erased: people whose older mail is stored without them, whatever the topics still hold.

Only digests are kept of them. A sink looks each address of a batch up, as long as anybody was erased at all.
"""

import hashlib
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, Literal

import msgspec
from psycopg2.extensions import cursor as Cursor  # noqa: N812 - it is a class

from schemas.deliveries import DeliveryFrom, DeliveryTo, Rejection
from schemas.merging import merge_deliveries
from sinks.batches import Batch
from sinks.pseudonyms import DIGITS, ERASED, pseudonym

LOCK: Final = 7_260_115_374
"""Key of the advisory lock that a sink shares while it writes: who erases waits for those that do not know yet."""

How = Literal["remove", "pseudonymise"]

MESSAGE_TEXTS: Final = (
    "sender", "message_id", "resent_message_id", "subject", "verp_id", "helo", "discard_reply", "reject_reply",
)  # fmt: skip
"""Fields of a message that may quote an address."""

_READ: Final = (
    'SELECT digest, to_char(erased_at, \'YYYY-MM-DD"T"HH24:MI:SS.US"Z"\'), how, key '
    "FROM erasure_key LEFT JOIN erasures ON true"
)


class Erased(msgspec.Struct, frozen=True):
    """One person."""

    at: str
    """Mail that arrived later is stored as ever. RFC 3339, as rows have it."""
    how: How


class Erasures:
    """Everybody who was erased."""

    def __init__(self, key: bytes, erased: Mapping[bytes, Erased]) -> None:
        """Take the digests, made with *key*."""
        self._key = key
        self._erased = erased
        self._by_pseudonym: dict[str, bytes] = {}
        self._digest = lru_cache(maxsize=100_000)(self._digest_of)

    def add(self, name: str, how: How) -> None:
        """Take one more, of all times."""
        self._erased = {**self._erased, self.digest(name): Erased("9999", how)}
        self._by_pseudonym = {}

    def digest(self, name: str) -> bytes:
        """Return what stands for an address: the same however its letters are written."""
        return hashlib.sha256(self._key + name.lower().encode("utf-8", "surrogatepass")).digest()

    def _digest_of(self, name: str) -> bytes:
        """Return the digest of an address, or of the erased one whose pseudonym it is."""
        if name.startswith("~"):
            if not self._by_pseudonym:
                self._by_pseudonym = {pseudonym(digest): digest for digest in self._erased}
            if (digest := self._by_pseudonym.get(name.rpartition("@")[0])) is not None:
                return digest
        return self.digest(name)

    def apply(self, batch: Batch) -> bool:
        """Take the erased out of *batch*; tell whether there was somebody."""
        if not self._erased:
            return False
        changed = False
        for message in batch.messages.values():
            changed |= self.leave_message(message)
        for old, delivery in [*batch.deliveries.items()]:
            if self.leave_delivery(delivery):
                del batch.deliveries[old]
                place = (delivery.host, delivery.queue_id, delivery.arrived_at)
                known = batch.deliveries.setdefault((*place, delivery.recipient, delivery.orig_recipient), delivery)
                if known is not delivery:  # two spellings of one address
                    merge_deliveries(known, delivery)
                changed = True
        for line, rejection in batch.rejections.items():
            left = self.leave_rejection(rejection)
            changed |= left is not rejection
            batch.rejections[line] = left
        return changed

    def leave_message(self, row: DeliveryFrom) -> bool:
        """Take the erased out of a message; tell whether there was somebody."""
        place = f"{row.host}/{row.queue_id}/{row.arrived_at}"
        given = (row.sender, row.sasl_username, row.sasl_sender)
        row.sender, row.sasl_username, row.sasl_sender = (self._left(name, row.arrived_at, place) for name in given)
        left = (row.sender, row.sasl_username, row.sasl_sender)
        for name, new in zip(given, left, strict=True):
            if name != new:
                for field in MESSAGE_TEXTS:
                    if text := getattr(row, field):
                        setattr(row, field, unquoted(text, name or "", new or ""))
        return given != left

    def leave_delivery(self, row: DeliveryTo) -> bool:
        """Take the erased out of a delivery; tell whether there was somebody."""
        place = f"{row.host}/{row.queue_id}/{row.arrived_at}"
        given = (row.recipient, row.orig_recipient)
        row.recipient, row.orig_recipient = (self._left(name, row.arrived_at, place) or "" for name in given)
        left = {name: new for name, new in zip(given, (row.recipient, row.orig_recipient), strict=True) if name != new}
        if any(self._how(name, row.arrived_at) == "remove" for name in left):
            row.reply, row.history = "", []
        for name, new in left.items():
            row.reply = unquoted(row.reply, name, new)
            row.history = [unquoted(entry, name, new) for entry in row.history]
        return bool(left)

    def leave_rejection(self, row: Rejection) -> Rejection:
        """Return a rejection without the erased; the same one where there is nobody."""
        place = f"{row.at}/{row.host}/{row.digest}"
        names = {"sender": row.sender, "recipient": row.recipient, "sasl_username": row.sasl_username}
        left = {field: new for field, name in names.items() if (new := self._left(name, row.at, place)) != name}
        if not left:
            return row
        reply = row.reply
        for field, new in left.items():
            name = names[field] or ""
            reply = "" if self._how(name, row.at) == "remove" else unquoted(reply, name, new or "")
        return msgspec.structs.replace(row, reply=reply, **left)

    def _how(self, name: str, arrived_at: str) -> How | None:
        erased = self._erased.get(self._digest(name))
        return erased.how if erased is not None and arrived_at <= erased.at else None

    def _left(self, name: str | None, arrived_at: str, place: str) -> str | None:
        """Return what stands for *name* in a row of *place*: itself, if it is not the name of an erased."""
        how = self._how(name, arrived_at) if name else None
        if name is None or how is None:
            return name
        made = self._digest(name)
        if how == "remove":  # another one for each message, so that nothing links them
            made = hashlib.sha256(self._key + made + place.encode("utf-8", "surrogatepass")).digest()
        return f"{made.hex()[:DIGITS]}@{ERASED}"


_WITHIN: Final = r"[\w.!#$%&'*+/=?^`{|}~-]"
"""Characters of local parts."""


def unquoted(text: str, name: str, new: str) -> str:
    """Return *text* with *new* wherever it quotes *name*, also as VERP does, but not within a longer address."""
    if not name or name.lower() == new.lower():
        return text
    forms = ((name, _WITHIN), ("=".join(name.rsplit("@", 1)), r"[\w.]"))
    for form, before in forms:
        if form.lower() in text.lower():
            pattern = rf"(?<!{before}){re.escape(form)}(?![\w-]|\.\w)"
            text = re.sub(pattern, new, text, flags=re.IGNORECASE)
    return text


def read(cursor: Cursor) -> Erasures:
    """Return the erased, and see to it, until the transaction ends, that nobody is erased unseen."""
    cursor.execute("SELECT pg_advisory_xact_lock_shared(%s)", (LOCK,))
    cursor.execute(_READ)  # a statement of its own: it sees what was committed while the lock was waited for
    found = cursor.fetchall()
    return Erasures(
        bytes(found[0][3]), {bytes(made): Erased(at, how) for made, at, how, _ in found if made is not None}
    )
