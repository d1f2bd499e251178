"""The erased: people whose older mail is stored without them, whatever the topics still hold.

Only digests are kept of them. A sink looks each address of a batch up, also those that a text quotes, as long as
anybody was erased at all, in rows that arrived before the last one was.
"""

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, Literal

import msgspec
from psycopg2.extensions import cursor as Cursor  # noqa: N812 - it is a class

from schemas.deliveries import DeliveryFrom, DeliveryTo, Rejection
from schemas.merging import merge_deliveries
from sinks.batches import Batch
from sinks.pseudonyms import DIGITS, ERASED, pseudonym
from sinks.quoting import with_others

LOCK: Final = 7_260_115_374
"""Key of the advisory lock that a sink shares while it writes: who erases waits for those that do not know yet."""

SOMEBODY: Final = f"erased@{ERASED}"
"""Stands where a text quotes the address in the row of somebody else's mail."""

How = Literal["remove", "pseudonymise"]

LOGIN: Final = "sasl_username"
"""The field whose names need no domain."""

NAMES: Final[Mapping[type[msgspec.Struct], tuple[str, ...]]] = {
    DeliveryFrom: ("sender", LOGIN, "sasl_sender"),
    DeliveryTo: ("recipient", "orig_recipient"),
    Rejection: ("sender", "recipient", LOGIN),
}
"""Fields of a record that are an address."""

TEXTS: Final[Mapping[type[msgspec.Struct], tuple[str, ...]]] = {
    DeliveryFrom: (
        "message_id", "resent_message_id", "subject", "verp_id", "helo", "discard_reply", "reject_reply",
    ),
    DeliveryTo: ("reply", "history"),
    Rejection: ("reply", "helo"),
}  # fmt: skip
"""Those that may quote one."""

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
        self.people = erased
        self.latest = max((each.at for each in erased.values()), default="")
        """Rows that arrived later name none of them."""
        self._by_pseudonym: dict[str, bytes] = {}
        self._digest = lru_cache(maxsize=100_000)(self._digest_of)

    def only(self, name: str, how: How) -> "Erasures":
        """Return one person alone, erased for all times."""
        return Erasures(self._key, {self.digest(name): Erased("9999", how)})

    def digest(self, name: str) -> bytes:
        """Return what stands for an address: the same however its letters are written."""
        return hashlib.sha256(self._key + name.lower().encode("utf-8", "surrogatepass")).digest()

    def _digest_of(self, name: str) -> bytes:
        """Return the digest of an address, or of the erased one whose pseudonym it is."""
        if name.startswith("~"):
            if not self._by_pseudonym:
                self._by_pseudonym = {pseudonym(digest): digest for digest in self.people}
            if (digest := self._by_pseudonym.get(name.partition("@")[0])) is not None:
                return digest
        return self.digest(name)

    def apply(self, batch: Batch) -> bool:
        """Take the erased out of *batch*; tell whether there was somebody."""
        if not self.people:
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
        return self._leave(row, row.arrived_at, f"{row.host}/{row.queue_id}")

    def leave_delivery(self, row: DeliveryTo) -> bool:
        """Take the erased out of a delivery; tell whether there was somebody."""
        # Not when it arrived: the row of a part gets another time when it joins its message.
        return self._leave(row, row.arrived_at, f"{row.host}/{row.queue_id}")

    def leave_rejection(self, row: Rejection) -> Rejection:
        """Return a rejection without the erased; the same one where there is nobody."""
        if row.at > self.latest:
            return row
        left = msgspec.structs.replace(row)
        return left if self._leave(left, row.at, f"{row.at}/{row.host}/{row.digest}") else row

    def without(self, name: str) -> str:
        """Return an address of a row of any time and place without the erased."""
        return self._left(name, "", "", login=False)[0]

    def _leave(self, row: Any, at: str, place: str) -> bool:
        """Take the erased out of a *row* that arrived *at* some time; tell whether there was somebody."""
        if at > self.latest:
            return False
        changes: dict[str, Any] = {}
        own: dict[bytes, str] = {}
        for field in NAMES[type(row)]:
            if not (name := getattr(row, field)):
                continue
            new, digest = self._left(name, at, place, login=field == LOGIN)
            if new != name:
                changes[field] = new
                if digest is not None:
                    own[digest] = new
        removed = any(self.people[digest].how == "remove" for digest in own)
        for field in TEXTS[type(row)]:
            text = getattr(row, field)
            if text and removed and field in {"reply", "history"}:
                changes[field] = [] if field == "history" else ""
            elif text and (new_text := self._quoting(text, at, own)) != text:
                changes[field] = new_text
        for field, value in changes.items():
            msgspec.structs.force_setattr(row, field, value)
        return bool(changes)

    def _quoting(self, text: Any, at: str, own: Mapping[bytes, str]) -> Any:
        """Return a text, or several, with others for those of the erased whom it quotes; *own* are the row's."""

        def other(name: str) -> str | None:
            digest = self._digest(name)
            return own.get(digest, SOMEBODY) if self._how(digest, at) is not None else None

        return [with_others(each, other) for each in text] if isinstance(text, list) else with_others(text, other)

    def _left(self, name: str, at: str, place: str, *, login: bool) -> tuple[str, bytes | None]:
        """Return what stands for *name* in a row of *place*, and whose it is if it is the name of an erased."""
        digest = self._digest(name)
        if ("@" in name or login) and (how := self._how(digest, at)) is not None:
            return self._made(name, digest, how, place), digest

        def other(quoted: str) -> str | None:
            digest = self._digest(quoted)
            how = self._how(digest, at)
            return self._made(quoted, digest, how, place) if how is not None else None

        return with_others(name, other), None

    def _how(self, digest: bytes, at: str) -> How | None:
        erased = self.people.get(digest)
        return erased.how if erased is not None and at <= erased.at else None

    def _made(self, name: str, digest: bytes, how: How, place: str) -> str:
        """Return a made-up address."""
        if how == "remove":
            # Another one for each message, so that nothing links them, and for each spelling, so that their rows stay.
            spelling = name if name != name.lower() else ""
            digest = hashlib.sha256(
                self._key + digest + f"{place}/{spelling}".encode("utf-8", "surrogatepass")
            ).digest()
        return f"{digest.hex()[:DIGITS]}@{ERASED}"


def read(cursor: Cursor) -> Erasures:
    """Return the erased, and see to it, until the transaction ends, that nobody is erased unseen."""
    cursor.execute("SELECT pg_advisory_xact_lock_shared(%s)", (LOCK,))
    cursor.execute(_READ)  # a statement of its own: it sees what was committed while the lock was waited for
    found = cursor.fetchall()
    return Erasures(
        bytes(found[0][3]), {bytes(made): Erased(at, how) for made, at, how, _ in found if made is not None}
    )
