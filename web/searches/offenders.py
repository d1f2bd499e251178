"""Statistics by name: which destinations fail or are slow, which clients are refused, in a window of time.

Whole days of UTC are read from counts that the database keeps, the hours before and after them from the rows. All hosts
together.
"""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec

from web.searches.conditions import domain_of
from web.searches.statistics import Window

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class


class FailingDomain(msgspec.Struct, frozen=True):
    """Where deliveries fail."""

    domain: str
    """Of the recipients; empty where they have none."""
    deferred: int
    bounced: int
    """With ``undeliverable``."""
    status: str | None = None
    """What the newest failure was, with when its message arrived, the word for why, and what was said."""
    arrived_at: datetime | None = None
    reason: str | None = None
    reply: str | None = None
    relay: str | None = None


class SlowDomain(msgspec.Struct, frozen=True):
    """Where deliveries succeed late: a minute or more after their message arrived."""

    domain: str
    slow: int
    mean: float
    """Seconds, of the slow ones."""


class RefusedClient(msgspec.Struct, frozen=True):
    """A client that was refused, before there was a queue id."""

    client_address: str
    client_name: str | None
    """As the newest rejection in the window has it."""
    count: int


def whole_days(asked: Window) -> tuple[datetime, datetime]:
    """Return where the whole days of UTC in the window begin and end; both are the window's end without any."""
    begin = asked.since.replace(hour=0)
    begin += timedelta(days=1) if begin < asked.since else timedelta()
    end = asked.until.replace(hour=0)
    return (begin, end) if begin < end else (asked.until, asked.until)


_TROUBLE: Final = """
    SELECT domain, trouble, deliveries, delay_ms
    FROM trouble_counts
    WHERE day >= %(first)s AND day < %(last)s
    UNION ALL
    SELECT counted_domain(recipient), counted_trouble(status, delay), 1, counted_ms(delay)
    FROM delivery_to
    WHERE (status <> 'sent' OR delay >= 60) AND arrived_at >= %(since)s AND arrived_at < %(first)s
    UNION ALL
    SELECT counted_domain(recipient), counted_trouble(status, delay), 1, counted_ms(delay)
    FROM delivery_to
    WHERE (status <> 'sent' OR delay >= 60) AND arrived_at >= %(last)s AND arrived_at < %(until)s
"""
# Sums of double precision: exact, since they are whole numbers far below 2^53, and done in two thirds of the time that
# the numeric sums of bigint take.
_FAILING: Final = """
SELECT domain, (deliveries - bounced)::bigint, bounced::bigint
FROM (
    SELECT
        domain,
        sum(deliveries::float8) AS deliveries,
        coalesce(sum(deliveries::float8) FILTER (WHERE trouble IN ('bounced', 'undeliverable')), 0) AS bounced
    FROM ({trouble}) AS counted
    WHERE trouble <> 'slow'
    GROUP BY domain
) AS failing
WHERE deliveries > 0
ORDER BY deliveries DESC, domain
LIMIT %(limit)s
""".replace("{trouble}", _TROUBLE)
_NEWEST_FAILURES: Final = """
SELECT top.name, t.status, t.arrived_at, t.reason, t.reply, nullif(t.relay, '')
FROM unnest(%(names)s::text[]) AS top (name)
CROSS JOIN LATERAL (
    SELECT status, arrived_at, reason, reply, relay
    FROM delivery_to
    WHERE {domain} {is_name} AND counted_trouble(status, NULL) IS NOT NULL
        AND arrived_at >= %(since)s AND arrived_at < %(until)s
    ORDER BY arrived_at DESC
    LIMIT 1
) AS t
""".replace("{domain}", domain_of("recipient"))
_OF_A_DOMAIN: Final = _NEWEST_FAILURES.replace("{is_name}", "= top.name")
_OF_NO_DOMAIN: Final = _NEWEST_FAILURES.replace("{is_name}", "IS NULL")
_SLOW: Final = """
SELECT domain, sum(deliveries)::bigint AS slow, (sum(delay_ms) / sum(deliveries) / 1000)::float8
FROM ({trouble}) AS counted
WHERE trouble = 'slow'
GROUP BY domain
HAVING sum(deliveries) > 0
ORDER BY sum(delay_ms) DESC, domain
LIMIT %(limit)s
""".replace("{trouble}", _TROUBLE)
_CLIENTS: Final = """
SELECT client_address, sum(rejects)::bigint AS rejects
FROM (
    SELECT client_address, sum(rejects::float8) AS rejects
    FROM client_counts
    WHERE day >= %(first)s AND day < %(last)s
    GROUP BY client_address -- each part by itself: they are few then
    UNION ALL
    SELECT client_address, count(*) FROM noqueue
    WHERE at >= %(since)s AND at < %(first)s AND action = ANY(%(refusing)s)
    GROUP BY client_address
    UNION ALL
    SELECT client_address, count(*) FROM noqueue
    WHERE at >= %(last)s AND at < %(until)s AND action = ANY(%(refusing)s)
    GROUP BY client_address
) AS counted
WHERE client_address IS NOT NULL
GROUP BY client_address
HAVING sum(rejects) > 0
ORDER BY rejects DESC, client_address
LIMIT %(limit)s
"""
_NEWEST_NAMES: Final = """
SELECT top.name, n.client_name
FROM unnest(%(names)s::text[]) AS top (name)
CROSS JOIN LATERAL (
    SELECT client_name
    FROM noqueue
    WHERE client_address = top.name AND at >= %(since)s AND at < %(until)s
    ORDER BY at DESC
    LIMIT 1
) AS n
"""


def failing_domains(connection: "Connection", asked: Window, limit: int = 10) -> list[FailingDomain]:
    """Return the destinations where most deliveries failed, the worst first, with what was said there last."""
    top = _rows(connection, _FAILING, asked, limit)
    newest = _newest(connection, _OF_A_DOMAIN, asked, [domain for domain, *_ in top if domain])
    newest |= _newest(connection, _OF_NO_DOMAIN, asked, [domain for domain, *_ in top if not domain])
    return [FailingDomain(domain, *numbers, *newest.get(domain, ())) for domain, *numbers in top]


def slow_domains(connection: "Connection", asked: Window, limit: int = 10) -> list[SlowDomain]:
    """Return the destinations that took most time of slow deliveries, the worst first."""
    return [SlowDomain(*row) for row in _rows(connection, _SLOW, asked, limit)]


def refused_clients(connection: "Connection", asked: Window, limit: int = 10) -> list[RefusedClient]:
    """Return the clients that were refused most often, before there was a queue id."""
    top = _rows(connection, _CLIENTS, asked, limit)
    newest = _newest(connection, _NEWEST_NAMES, asked, [address for address, _ in top])
    return [RefusedClient(address, newest[address][0] if address in newest else None, n) for address, n in top]


def _rows(connection: "Connection", query: str, asked: Window, limit: int) -> list[tuple[Any, ...]]:
    first, last = whole_days(asked)
    with connection.cursor() as cursor:
        cursor.execute(query, {**asked.parameters, "first": first, "last": last, "limit": limit})
        return cursor.fetchall()


def _newest(connection: "Connection", query: str, asked: Window, names: list[str]) -> dict[str, tuple[Any, ...]]:
    """Return what *query* says of each of *names* that has a newest row in the window.

    Nearly all of those at the top have one in the last day: only for the others the other days are looked at too.
    """
    found: dict[str, tuple[Any, ...]] = {}
    with connection.cursor() as cursor:
        for since in (max(asked.since, asked.until - timedelta(days=1)), asked.since):
            missing = [name for name in names if name not in found]
            if missing:
                cursor.execute(query, {"names": missing, "since": since, "until": asked.until})
                found |= {name: tuple(row) for name, *row in cursor.fetchall()}
    return found
