"""What is being deferred, and why: the newest deferred deliveries by recipient domain and reason."""

from datetime import datetime
from typing import TYPE_CHECKING, Final

import msgspec

from web.searches.conditions import domain_of

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

MOST_DELIVERIES: Final = 2000
"""Deferred deliveries that are looked at, the newest: more would take longer and say the same."""
_MOST_REPLY: Final = 300

# The index of what was not sent gives the newest of a status; OFFSET 0 keeps the look at each message's end a look-up
# by its key. SOFTBOUNCE is what is deferred by soft_bounce = yes.
_NEWEST: Final = """
    SELECT arrived_at, queue_id, host, recipient, reason, reply, dsn, last_attempt_at, attempts
    FROM delivery_to
    WHERE status = '{status}' AND arrived_at >= %(since)s AND arrived_at < %(until)s
    ORDER BY arrived_at DESC
    LIMIT %(most)s
"""
_GROUPS: Final = """
WITH newest AS (
    SELECT * FROM ({deferred}) AS d UNION ALL SELECT * FROM ({softly_bounced}) AS b
    ORDER BY arrived_at DESC
    LIMIT %(most)s
)
SELECT
    coalesce({domain}, '') AS domain,
    coalesce(reason, dsn, '') AS reason,
    left((array_agg(reply ORDER BY last_attempt_at DESC, reply))[1], %(reply)s) AS reply,
    count(*) AS deliveries,
    sum(attempts)::bigint AS attempts,
    max(last_attempt_at) AS last_attempt_at
FROM newest
CROSS JOIN LATERAL (
    SELECT count(*) AS ends
    FROM delivery_from AS f
    WHERE f.arrived_at = newest.arrived_at AND f.queue_id = newest.queue_id AND f.host = newest.host
        AND (
            f.expired_at IS NOT NULL OR f.deleted_at IS NOT NULL OR f.cancelled_at IS NOT NULL
            OR (f.held_at IS NOT NULL AND f.removed_at IS NULL AND (f.released_at IS NULL OR f.held_at > f.released_at))
        )
    OFFSET 0
) AS ended
WHERE ended.ends = 0
GROUP BY 1, 2
ORDER BY deliveries DESC, last_attempt_at DESC, domain, reason
LIMIT %(groups)s
"""
_DEFERRING: Final = (
    _GROUPS.replace("{deferred}", _NEWEST.replace("{status}", "deferred"))
    .replace("{softly_bounced}", _NEWEST.replace("{status}", "SOFTBOUNCE"))
    .replace("{domain}", domain_of("recipient"))
)


class Deferral(msgspec.Struct, frozen=True, kw_only=True):
    """Deliveries to one domain that wait for one reason."""

    domain: str
    """Of the recipients, in lower case; empty where they have none."""
    reason: str
    """A word of docs/coverage.md, or else the status code (``4.2.2``)."""
    reply: str
    """What was said at the latest of their attempts, cut."""
    deliveries: int
    attempts: int
    last_attempt_at: datetime


def deferring(connection: "Connection", since: datetime, until: datetime, groups: int = 50) -> list[Deferral]:
    """Return what is deferred of the mail that arrived from *since* until before *until*, most deliveries first.

    Looks at the newest MOST_DELIVERIES, and returns *groups* at most.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            _DEFERRING,
            {"since": since, "until": until, "most": MOST_DELIVERIES, "reply": _MOST_REPLY, "groups": groups},
        )
        return [
            Deferral(domain=domain, reason=reason, reply=reply, deliveries=count, attempts=attempts, last_attempt_at=at)
            for domain, reason, reply, count, attempts, at in cursor.fetchall()
        ]
