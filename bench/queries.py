"""How long searches take in a PostgreSQL full of mail: `deliveries` with every condition, `trace`, statistics.

    python bench/queries.py [--deliveries N] [--rounds N] [--keep DIR]

Every round asks for other addresses, so that its rows were not read before; PostgreSQL's own memory is an eighth of the
machine's, 1 GiB at most, and the file system's cache has what there is room for ("cold-ish"). Of each search: median
and 95th percentile, in milliseconds, with the rows fetched; the ratio is to reading a row by its primary key.
"""

import random
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Final, NamedTuple

import psycopg2
from figures import Figures, parser_of
from filled import database
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from web.searches import offenders, statistics
from web.searches.deliveries import DeliverySearch, search
from web.searches.trace import trace


class Sample(NamedTuple):
    """A delivery that is there, to ask for."""

    queue_id: str
    sender: str
    message_id: str
    client_name: str
    client_address: str
    recipient: str
    arrived_at: datetime
    host: str


_SAMPLE: Final = (
    "SELECT f.queue_id, f.sender, f.message_id, f.client_name, f.client_address, t.recipient, f.arrived_at, f.host "
    "FROM delivery_from f JOIN delivery_to t USING (arrived_at, queue_id, host) WHERE mod(t.number, 997) = 3 LIMIT 5000"
)

Ask = Callable[[Connection], int]
"""Asks, and returns how many rows came."""

_NOW: Final = datetime.now(UTC)
_LONG_AGO: Final = _NOW - timedelta(days=40)


def domain(address: str) -> str:
    """Return what asks for all addresses of a domain."""
    return "@" + address.rpartition("@")[2]


def deliveries(**wanted: Any) -> Ask:
    """Return the search with these conditions."""
    return lambda connection: sum(1 for _ in search(connection, DeliverySearch(**wanted)))


def of_all(**wanted: Any) -> Ask:
    """Return the search with these conditions in all that there is."""
    return deliveries(since=_LONG_AGO, **wanted)


def traced(word: str) -> Ask:
    """Return the search for a message's way."""
    return lambda connection: len(trace(connection, word).hops)


def _counted(ask: Callable[..., Any], asked: statistics.Window, _: Sample) -> Ask:
    def count(connection: Connection) -> int:
        found = ask(connection, asked)
        return len(found) if isinstance(found, list) else 1

    return count


def by_key(row: Sample) -> Ask:
    """Return the yardstick: one row by its primary key."""

    def ask(connection: Connection) -> int:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT * FROM delivery_from WHERE arrived_at = %s AND queue_id = %s AND host = %s",
                (row.arrived_at, row.queue_id, row.host),
            )
            return len(cursor.fetchall())

    return ask


SEARCHES: Final[dict[str, Callable[[Sample], Ask]]] = {
    "queue id": lambda row: deliveries(queue_id=row.queue_id),
    "sender": lambda row: of_all(sender=row.sender),
    "sender's domain": lambda row: of_all(sender=domain(row.sender)),
    "part of a sender": lambda row: of_all(sender=f"*{row.sender[3:12]}*"),
    "message-id": lambda row: deliveries(message_id=row.message_id),
    "client's name": lambda row: of_all(client=row.client_name),
    "client's address": lambda row: of_all(client=row.client_address),
    "part of a client's name": lambda row: of_all(client=f"*{row.client_name[2:9]}*"),
    "recipient": lambda row: of_all(recipient=row.recipient),
    "recipient's domain": lambda row: of_all(recipient=domain(row.recipient)),
    "part of a recipient": lambda row: of_all(recipient=f"*{row.recipient[4:14]}*"),
    "part that nobody has": lambda row: of_all(recipient=f"*nobody{row.queue_id}*"),
    **{
        f"status {status}": partial(lambda status, _: of_all(status=(status,)), status)
        for status in (
            "sent",
            "deferred",
            "bounced",
            "expired",
            "deleted",
            "held",
            "discarded",
            "rejected",
            "cancelled",
            "queued",
        )
    },
    "status queued, a day": lambda _: deliveries(status=("queued",)),
    "deferred or expired": lambda _: of_all(status=("deferred", "expired")),
    "nothing but a day": lambda row: deliveries(since=row.arrived_at, until=row.arrived_at + timedelta(days=1)),
    "sender and recipient": lambda row: of_all(sender=row.sender, recipient=row.recipient),
    "sender's domain and bounced": lambda row: of_all(sender=domain(row.sender), status=("bounced",)),
    "recipient's domain and deferred": lambda row: of_all(recipient=domain(row.recipient), status=("deferred",)),
    "client and bounced": lambda row: of_all(client=row.client_name, status=("bounced",)),
    "client and recipient's domain": lambda row: of_all(client=row.client_address, recipient=domain(row.recipient)),
    "part of a sender and of a recipient": lambda row: of_all(
        sender=f"*{row.sender[3:7]}*", recipient=f"*{row.recipient[4:9]}*"
    ),
    "sender, in another's month": lambda row: of_all(sender=row.sender, until=_NOW - timedelta(days=20)),
    "domain and domain": lambda row: of_all(sender=domain(row.sender), recipient=domain(row.recipient)),
    "a week": lambda row: deliveries(since=row.arrived_at - timedelta(days=7), until=row.arrived_at),
    "trace of a queue id": lambda row: traced(row.queue_id),
    "trace of a message-id": lambda row: traced(row.message_id),
    "trace of an address": lambda row: traced(row.recipient),
}
"""Every search, for a delivery that is there; the newest 50 where there are more."""


LAST: Final = {
    "24 h": statistics.window(_NOW - timedelta(hours=34), _NOW - timedelta(hours=10)),
    "30 days": statistics.window(_NOW - timedelta(days=30), _NOW),
}

STATISTICS: Final[dict[str, Callable[[Sample], Ask]]] = {
    f"{name}, {span}": partial(_counted, ask, asked)
    for span, asked in LAST.items()
    for name, ask in {
        "totals": statistics.totals,
        "by hour": partial(statistics.series, step="hour"),
        "by day": partial(statistics.series, step="day"),
        "mail hosts": statistics.hosts,
        "why refused": statistics.reject_reasons,
        "failing domains": offenders.failing_domains,
        "slow domains": offenders.slow_domains,
        "refused clients": offenders.refused_clients,
    }.items()
}
"""Every statistic, of a day in the middle of which another begins and of all that there is."""


def measure(
    connection: Connection, make: Callable[[Sample], Ask], rows: Sequence[Sample]
) -> tuple[float, float, float]:
    """Ask once for each of *rows*; return median and 95th percentile in milliseconds, and how many rows came."""
    took, found = [], 0
    for row in rows:
        ask = make(row)
        began = time.perf_counter()
        found += ask(connection)
        took.append((time.perf_counter() - began) * 1000)
        connection.rollback()
    return median(took), quantiles(took, n=20)[-1], found / len(rows)


def main() -> None:
    """Measure and print."""
    parser = parser_of(
        __doc__ or "", deliveries=(10_000_000, "deliveries in the database"), rounds=(40, "times of each search")
    )
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the database there, and use it the next time")
    options = parser.parse_args()
    figures = Figures(options)
    with database(options.deliveries, figures.say, options.keep) as settings:
        connection = psycopg2.connect(**settings.connection_parameters())
        with connection.cursor() as cursor:
            cursor.execute(_SAMPLE)
            rows = [Sample(*row) for row in cursor.fetchall()]
        pick = random.Random(options.deliveries)
        _, yardstick, _ = measure(connection, by_key, pick.choices(rows, k=options.rounds))
        figures.add("a row by its key, p95", yardstick, "ms")
        for name, make in (SEARCHES | STATISTICS).items():
            middle, slow, found = measure(connection, make, pick.choices(rows, k=options.rounds))
            figures.add(f"{name}, p50", middle, f"ms, {found:.1f} rows")
            figures.add(f"{name}, p95", slow, "ms", ("a row by its key", yardstick))
        connection.close()
    figures.close()


if __name__ == "__main__":
    main()
