"""postsuper: what an administrator does to messages (``src/postsuper/postsuper.c``)."""

from streams.parsing.facts import Parsed
from streams.parsing.formats import Family, Format, fact, quiet


def _moment(what: str, begins: str, field: str) -> Format:
    return fact(what, begins, r"$", lambda _, line: Parsed(what=what, queue_id=line.queue_id, moments=(field,)))


POSTSUPER = Family(
    queued=(
        _moment("postsuper.removed", "removed", "deleted_at"),
        _moment("postsuper.hold", "placed on hold", "held_at"),
        _moment("postsuper.release", "released from hold", "released_at"),
        _moment("postsuper.requeue", "requeued", "requeued_at"),
        _moment("postsuper.expire", "expired", "expired_at"),
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
