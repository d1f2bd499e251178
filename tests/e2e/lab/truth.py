"""What the product must say of the lab's mail, known from what was done and not from the log."""

import math
from datetime import UTC, datetime

import msgspec

Value = str | int | float | None


class OneOf(msgspec.Struct, frozen=True):
    """Any of several values: where the log leaves it open, or the facts do."""

    values: tuple[Value, ...]


class AtLeast(msgspec.Struct, frozen=True):
    """A number that is not smaller."""

    least: float


class Containing(msgspec.Struct, frozen=True):
    """A text in which this stands."""

    part: str


class Given(msgspec.Struct, frozen=True):
    """Any text but the empty one."""


class Moment(msgspec.Struct):
    """A time between what the lab's clock showed before and after; filled in while the lab runs.

    A log has whole seconds of a clock that is a tick late, hence the time before; two processes write late, hence those
    after.
    """

    since: float = math.inf
    until: float = -math.inf

    def note(self, at: float) -> None:
        """Widen the span to the Unix time *at*."""
        self.since = min(self.since, at)
        self.until = max(self.until, at)

    def has(self, text: str) -> bool:
        """Tell whether the RFC 3339 time *text* lies in it."""
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            return False
        return at.tzinfo is not None and self.since - 1.05 <= at.timestamp() <= self.until + 2

    def __str__(self) -> str:
        if not self.since <= self.until:
            return "a time that never came"
        return " to ".join(datetime.fromtimestamp(at, UTC).isoformat() for at in (self.since, self.until))


class QueueIdOf(msgspec.Struct, frozen=True):
    """The queue id that another row turns out to have."""

    row: "Row"


Claim = Value | OneOf | AtLeast | Containing | Given | Moment | QueueIdOf


class Row(msgspec.Struct, eq=False, kw_only=True):
    """One line that ``deliveries`` or ``rejects`` must print: the fields that find it, and what the others hold."""

    what: str
    """The scenario, for people."""
    message: str
    """Names the message among those of the run: rows of one queue id have it in common. Empty: it had none."""
    sender: str = ""
    """The envelope sender that there was, whether it gets printed or not."""
    find: dict[str, Value]
    claims: dict[str, Claim] = {}
    queue: str = ""
    """The queue in which the mail must be in the end: ``deferred``, ``hold``, ``active``; empty: in none."""
    peer: bool = False
    """Whether a peer must have taken the mail for this recipient."""
    attempts: int = 0
    """Delivery attempts that must be in the log, if known exactly; 0 where there are none or the number is open."""

    @property
    def status(self) -> Claim:
        """What must have become of it."""
        return self.claims.get("status", self.find.get("status"))


class Truth(msgspec.Struct):
    """All that must be printed: nothing may be missing, and nothing else be there."""

    deliveries: list[Row] = []
    rejects: list[Row] = []
