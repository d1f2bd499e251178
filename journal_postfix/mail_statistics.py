"""All statistics of the mail of a window together: what ``stats --mail`` shows."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec

from schemas.errors import ConfigurationError
from web.searches import deliveries, offenders, rejects, statistics
from web.searches.records import Record, time_text

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

_DEFAULT: Final = timedelta(hours=24)
_MOST_HOURS: Final = timedelta(hours=72)
"""A series of more than these has days."""
_MOST_NAMED: Final = 10
"""Hosts that are named where the one that is asked for is not known."""


class MailStatistics(msgspec.Struct, frozen=True):
    """What the mail of a window was. The names are an interface."""

    since: datetime
    until: datetime
    host: str | None
    totals: statistics.Totals
    step: statistics.Step
    series: list[statistics.Moment]
    hosts: list[statistics.HostTotals]
    failing_domains: list[offenders.FailingDomain]
    """Of all hosts, as the two others below."""
    slow_domains: list[offenders.SlowDomain]
    reject_reasons: list[statistics.Reason]
    refused_clients: list[offenders.RefusedClient]


def read_statistics(
    connection: "Connection", since: datetime | None, until: datetime | None, host: str | None = None, limit: int = 10
) -> MailStatistics:
    """Return the statistics of a window, by default the last 24 hours that the log has; *limit* of each list."""
    last = until or _last(connection, since)
    window = statistics.window(since or last - _DEFAULT, last, host)
    step: statistics.Step = "hour" if window.until - window.since <= _MOST_HOURS else "day"
    return MailStatistics(
        since=window.since,
        until=window.until,
        host=host,
        totals=statistics.totals(connection, window),
        step=step,
        series=statistics.series(connection, window, step),
        hosts=statistics.hosts(connection, window),
        failing_domains=offenders.failing_domains(connection, window, limit),
        slow_domains=offenders.slow_domains(connection, window, limit),
        reject_reasons=statistics.reject_reasons(connection, window, limit),
        refused_clients=offenders.refused_clients(connection, window, limit),
    )


def _last(connection: "Connection", since: datetime | None) -> datetime:
    """Return where a window that names no end has it: at the newest mail or rejection, or now without any."""
    # While all is refused there is no newer mail.
    newest = max(filter(None, (deliveries.newest(connection), rejects.newest(connection))), default=None)
    if newest is None or (since is not None and newest < since):
        return datetime.now(UTC)
    return newest + timedelta(microseconds=1)  # a window's end is not in it


_IS_SEEN: Final = """
SELECT EXISTS (SELECT FROM message_counts WHERE host = %(host)s)
    OR EXISTS (SELECT FROM delivery_counts WHERE host = %(host)s)
    OR EXISTS (SELECT FROM reject_counts WHERE host = %(host)s)
"""
_ALL_SEEN: Final = """
SELECT host FROM message_counts UNION SELECT host FROM delivery_counts UNION SELECT host FROM reject_counts
ORDER BY host LIMIT %s
"""


def check_host(connection: "Connection", host: str) -> None:
    """Raise ConfigurationError, which names the hosts that there are, where nothing of *host* was ever counted."""
    with connection.cursor() as cursor:
        cursor.execute(_IS_SEEN, {"host": host})
        if cursor.fetchone() == (True,):
            return
        cursor.execute(_ALL_SEEN, (_MOST_NAMED + 1,))
        hosts = [name for (name,) in cursor.fetchall()]
    there = ", ".join(hosts[:_MOST_NAMED]) + (", …" if len(hosts) > _MOST_NAMED else "")
    raise ConfigurationError(f"--host {host}: no mail of such a host is known; there are {there or 'none yet'}")


def as_record(found: MailStatistics) -> Record:
    """Return the statistics as JSON has them: times as texts, in UTC."""
    record: dict[str, Any] = msgspec.to_builtins(found, builtin_types=(datetime,))
    return {name: _texts(value) for name, value in record.items()}


def _texts(value: Any) -> Any:
    match value:
        case datetime():
            return time_text(value)
        case dict():
            return {name: _texts(inner) for name, inner in value.items()}
        case list():
            return [_texts(inner) for inner in value]
        case _:
            return value
