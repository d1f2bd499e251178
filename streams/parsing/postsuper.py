"""postsuper: what an administrator does to messages (``src/postsuper/postsuper.c``)."""

from streams.parsing.facts import Parsed
from streams.parsing.formats import Family, Format, Line, fact, quiet


def _moment(what: str, begins: str, field: str, becomes: str) -> Format:
    def make(_: object, line: Line) -> Parsed:
        return Parsed(what=what, queue_id=line.queue_id, moments=(field,))

    return fact(what, begins, r"\s*$", make, f"ID: {begins}", becomes)


POSTSUPER = Family(
    "postsuper/postsuper.c",
    queued=(
        _moment("postsuper.removed", "removed", "deleted_at", "the message was deleted by an administrator"),
        _moment("postsuper.hold", "placed on hold", "held_at", "held by an administrator"),
        _moment("postsuper.release", "released from hold", "released_at", "released"),
        _moment("postsuper.requeue", "requeued", "requeued_at", "goes on under a new queue id"),
        _moment("postsuper.expire", "expired", "expired_at", "to be returned by force"),
    ),
    bare=quiet(
        "totals",
        "Deleted: ",
        "Requeued: ",
        "Placed on hold: ",
        "Released from hold: ",
        "Expired: ",
        "Force-expired: ",
        "Renamed ",
    ),
)
