"""Statistics of the mail of a window of time: volume, what became of it, what was refused and why.

They are read from counts that the database keeps (``sinks/migrations/0012_statistics.sql``), by the hour of arrival: a
window is widened to whole hours of UTC. Effective statuses are those of ``deliveries``, but for this: mail of which no
attempt was seen yet is not counted; mail that an access table held or discarded before it had a queue id counts as
cancelled.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

Step = Literal["hour", "day"]

REFUSING: Final = ("reject", "milter-reject", "proxy-reject", "hangup")
"""Actions of rejections that refused something; the others held, discarded or warned."""


class Window(msgspec.Struct, frozen=True):
    """Whole hours, from `since` until before `until`; aware, UTC. Make it with `window`."""

    since: datetime
    until: datetime
    host: str | None = None
    """One mail host; None: all."""

    @property
    def parameters(self) -> Mapping[str, Any]:
        """What queries take."""
        return {"since": self.since, "until": self.until, "host": self.host, "refusing": list(REFUSING)}


class Delays(msgspec.Struct, frozen=True):
    """How long deliveries took that were sent: from the arrival of the message."""

    counted: int
    """Sent deliveries whose delay is known."""
    mean: float | None
    """Seconds."""
    within: Mapping[str, int]
    """How many took no longer than ``1s``, ``10s``, ``1min``, ``10min``, ``1h``."""


class Totals(msgspec.Struct, frozen=True):
    """A window in sums."""

    messages: int
    bytes: int
    deliveries: Mapping[str, int]
    """By effective status; a status without any is left out."""
    refused: int
    """Rejections in the SMTP dialogue, of recipients and of whole messages: with a queue id and without."""
    exact: bool
    """False: of more than `MOST_STOPPED` expired, deleted or held messages, each counts as one delivery."""
    delays: Delays


class Moment(msgspec.Struct, frozen=True):
    """One hour or day of a series."""

    at: datetime
    messages: int
    bytes: int
    sent: int
    deferred: int
    """As logged: what was expired, deleted or held since is among them."""
    bounced: int
    refused: int


class HostTotals(msgspec.Struct, frozen=True):
    """What one mail host did."""

    host: str
    messages: int
    bytes: int
    sent: int
    deferred: int
    """As logged, as in `Moment`."""
    bounced: int
    refused: int


class Reason(msgspec.Struct, frozen=True):
    """Why, and how often."""

    action: str
    reason: str
    """One of the words of docs/coverage.md; empty where none is known."""
    count: int


def window(since: datetime, until: datetime, host: str | None = None) -> Window:
    """Return the window of whole hours that covers *since* until *until*, aware times; one hour at least."""
    begin = since.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    last = until.astimezone(UTC)
    end = last.replace(minute=0, second=0, microsecond=0)
    end += timedelta(hours=1) if end < last else timedelta()
    return Window(begin, max(end, begin + timedelta(hours=1)), host)


_DELIVERIES: Final = """
SELECT status, sum(deliveries), sum(timed), sum(delay_ms), sum(within_1s), sum(within_10s), sum(within_1min),
    sum(within_10min), sum(within_1h)
FROM delivery_counts
WHERE hour >= %(since)s AND hour < %(until)s AND (%(host)s IS NULL OR host = %(host)s)
GROUP BY status
"""
_MESSAGES: Final = """
SELECT fate, sum(messages), sum(bytes)
FROM message_counts
WHERE hour >= %(since)s AND hour < %(until)s AND (%(host)s IS NULL OR host = %(host)s)
GROUP BY fate
"""
_REFUSED: Final = """
SELECT coalesce(sum(rejects), 0)
FROM reject_counts
WHERE hour >= %(since)s AND hour < %(until)s AND (%(host)s IS NULL OR host = %(host)s) AND action = ANY(%(refusing)s)
"""
# Deliveries that are not what they were logged as, since their message was stopped; NULL: it has none.
_STOPPED: Final = """
SELECT fate, t.status, count(*)
FROM (
    SELECT
        arrived_at, queue_id, host,
        CASE WHEN deleted_at IS NOT NULL THEN 'deleted' WHEN expired_at IS NOT NULL THEN 'expired' ELSE 'held' END
            AS fate
    FROM delivery_from
    WHERE arrived_at >= %(since)s AND arrived_at < %(until)s AND (%(host)s IS NULL OR host = %(host)s)
        AND (held_at IS NOT NULL OR expired_at IS NOT NULL OR deleted_at IS NOT NULL)
        AND counted_fate(
            rejected_at, discarded_at, deleted_at, expired_at, cancelled_at, held_at, released_at, removed_at,
            queued_at, origin, client_name, parent_queue_id
        ) IN ('deleted', 'expired', 'held')
) AS f
LEFT JOIN delivery_to AS t ON t.arrived_at = f.arrived_at AND t.queue_id = f.queue_id AND t.host = f.host
    AND t.arrived_at >= %(since)s AND t.arrived_at < %(until)s
GROUP BY fate, t.status
"""
_WITHIN: Final = ("1s", "10s", "1min", "10min", "1h")
_FINAL: Final = frozenset({"sent", "discarded", "bounced", "rejected", "deliverable", "undeliverable"})
"""Logged statuses that stay what they are, whatever becomes of the message."""
_STOPPING: Final = ("deleted", "expired", "held")
MOST_STOPPED: Final = 20_000
"""Messages of a window that were expired, deleted or held, of which the deliveries are looked up."""
_WHOLE: Final = ("rejected", "discarded", "cancelled")
"""Fates of messages that have no deliveries."""


def totals(connection: "Connection", asked: Window) -> Totals:
    """Return the sums of a window."""
    logged = _rows(connection, _DELIVERIES, asked)
    fates = {fate: (int(messages), int(size)) for fate, messages, size in _rows(connection, _MESSAGES, asked)}
    statuses: dict[str, int] = {}

    def add(status: str, number: int) -> None:
        statuses[status] = statuses.get(status, 0) + number

    for status, number, *_ in logged:
        add(status if status in _FINAL else "deferred", int(number))
    for fate in _WHOLE:
        add(fate, fates.get(fate, (0, 0))[0])
    stopped = {fate: fates[fate][0] for fate in _STOPPING if fate in fates}
    exact = sum(stopped.values()) <= MOST_STOPPED
    # Too many: where so many are held, a filter had them held before any was tried.
    guessed = [(fate, None if fate == "held" else "deferred", number) for fate, number in stopped.items()]
    for fate, status, number in _stopped(connection, asked) if exact else guessed:
        if status is None:
            add(fate, number)
        elif status not in _FINAL:
            add(fate, number)
            add("deferred", -min(number, statuses.get("deferred", 0)))
    [(refused,)] = _rows(connection, _REFUSED, asked)
    sent = next((list(map(int, row[2:])) for row in logged if row[0] == "sent"), [0] * (2 + len(_WITHIN)))
    return Totals(
        messages=sum(messages for messages, _ in fates.values()),
        bytes=sum(size for _, size in fates.values()),
        deliveries={status: number for status, number in sorted(statuses.items()) if number},
        refused=int(refused) + statuses.get("rejected", 0),
        exact=exact,
        delays=_delays(*sent),
    )


def _delays(counted: int, milliseconds: int, *within: int) -> Delays:
    mean = milliseconds / counted / 1000 if counted else None
    return Delays(counted, mean, dict(zip(_WITHIN, within, strict=True)))


def _stopped(connection: "Connection", asked: Window) -> list[tuple[str, str | None, int]]:
    with connection.cursor() as cursor:
        # Day by day, through the keys: over all days at once, each message would be looked for among all partitions.
        cursor.execute("SET LOCAL enable_partitionwise_join = on")
        cursor.execute(_STOPPED, asked.parameters)
        found = cursor.fetchall()
        cursor.execute("SET LOCAL enable_partitionwise_join = DEFAULT")
        return found


_SUMS: Final = """
SELECT {key} AS key, sum(messages) AS messages, sum(bytes) AS bytes, sum(sent) AS sent, sum(deferred) AS deferred,
    sum(bounced) AS bounced, sum(refused) AS refused
FROM (
    SELECT hour, host, messages, bytes, 0 AS sent, 0 AS deferred, 0 AS bounced,
        CASE WHEN fate = 'rejected' THEN messages ELSE 0 END AS refused
    FROM message_counts
    UNION ALL
    SELECT hour, host, 0, 0, CASE WHEN status = 'sent' THEN deliveries ELSE 0 END,
        CASE WHEN status NOT IN (
            'sent', 'discarded', 'bounced', 'rejected', 'deliverable', 'undeliverable'
        ) THEN deliveries ELSE 0 END,
        CASE WHEN status = 'bounced' THEN deliveries ELSE 0 END,
        CASE WHEN status = 'rejected' THEN deliveries ELSE 0 END
    FROM delivery_counts
    UNION ALL
    SELECT hour, host, 0, 0, 0, 0, 0, rejects FROM reject_counts WHERE action = ANY(%(refusing)s)
) AS counted
WHERE hour >= %(since)s AND hour < %(until)s AND (%(host)s IS NULL OR host = %(host)s)
GROUP BY 1
"""
_BY_HOST: Final = _SUMS.format(key="host") + "ORDER BY messages DESC, key"
_BY_TIME: Final = {
    "hour": _SUMS.format(key="hour") + "ORDER BY key",
    "day": _SUMS.format(key="day_of(hour)") + "ORDER BY key",
}


def series(connection: "Connection", asked: Window, step: Step) -> list[Moment]:
    """Return the hours or days (of UTC) of a window, oldest first, those without mail too; a day may be cut off."""
    found = {at: numbers for at, *numbers in _rows(connection, _BY_TIME[step], asked)}
    at = asked.since.replace(hour=0) if step == "day" else asked.since
    moments = []
    while at < asked.until:
        moments.append(Moment(at, *map(int, found.get(at, [0] * 6))))
        at += timedelta(days=1) if step == "day" else timedelta(hours=1)
    return moments


def hosts(connection: "Connection", asked: Window) -> list[HostTotals]:
    """Return what each mail host did in a window, the busiest first."""
    return [HostTotals(host, *map(int, numbers)) for host, *numbers in _rows(connection, _BY_HOST, asked)]


_REASONS: Final = """
SELECT action, reason, sum(number) AS number
FROM (
    SELECT hour, host, action, reason, rejects AS number FROM reject_counts
    UNION ALL
    SELECT hour, host, 'reject', reason, deliveries FROM delivery_counts WHERE status = 'rejected'
    UNION ALL
    SELECT hour, host, 'reject', reason, messages FROM message_counts WHERE fate = 'rejected'
) AS counted
WHERE hour >= %(since)s AND hour < %(until)s AND (%(host)s IS NULL OR host = %(host)s)
GROUP BY action, reason
HAVING sum(number) > 0
ORDER BY number DESC, action, reason
LIMIT %(limit)s
"""


def reject_reasons(connection: "Connection", asked: Window, limit: int = 10) -> list[Reason]:
    """Return why mail was refused (or held, discarded, warned about: see `action`), the most frequent first."""
    return [Reason(action, reason, int(n)) for action, reason, n in _rows(connection, _REASONS, asked, limit=limit)]


def _rows(connection: "Connection", query: str, asked: Window, **more: object) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query, {**asked.parameters, **more})
        return cursor.fetchall()
