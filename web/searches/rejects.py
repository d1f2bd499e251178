"""``rejects``: who was refused what, and why, newest first.

Three kinds: mail that had no queue id yet (table ``noqueue``), recipients refused of a message that had one
(``delivery_to`` with status ``rejected``), and messages refused as a whole by a line that names no recipient, as those
about mail for several or too large mail are (``delivery_from.rejected_at``).
"""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

import msgspec
from psycopg2.sql import SQL

from web.searches.addresses import asked
from web.searches.conditions import (
    DEFAULT_WINDOW,
    Condition,
    address_condition,
    client_condition,
    condition,
    found,
    joined,
    statuses,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

    from web.searches.records import Record

FIELDS: Final = (
    "at", "host", "service", "action", "stage", "client_name", "client_address", "code", "dsn", "reply", "sender",
    "recipient", "protocol", "helo", "sasl_username", "reason", "queue_id",
)  # fmt: skip
"""Names and order are an interface."""
ACTIONS: Final = (
    "reject", "milter-reject", "proxy-reject", "hangup", "reject_warning", "warn", "hold", "milter-hold", "discard",
    "milter-discard",
)  # fmt: skip
"""All that a rejection may be."""


class RejectSearch(msgspec.Struct, frozen=True, kw_only=True):
    """What to look for; None and empty: anything."""

    sender: str | None = None
    recipient: str | None = None
    queue_id: str | None = None
    """Leaves only rejections of messages that had one."""
    client: str | None = None
    """Name or address; with ``*`` a pattern of the name."""
    action: tuple[str, ...] = ()
    """``reject``, ``milter-reject``, ``hold``, … of which one must fit."""
    since: datetime | None = None
    until: datetime | None = None
    limit: int = 50
    """0: all."""


_SESSION: Final = timedelta(days=1)
"""How long after its arrival a message may have a recipient refused."""

_WITHOUT_ID: Final = """
SELECT at, host, service, action, stage, client_name, client_address, code, dsn, reply, sender, recipient, protocol,
       helo, sasl_username, reason, NULL::text AS queue_id
  FROM noqueue
 WHERE {} ORDER BY at DESC{}"""

_WITH_ID: Final = """
SELECT t.last_attempt_at AS at, t.host, t.service, 'reject' AS action,
       t.stage, f.client_name, f.client_address,
       coalesce(t.code, substring(t.reply FROM '^[245][0-9][0-9](?![0-9])')::bigint) AS code,
       nullif(t.dsn, '') AS dsn, t.reply, f.sender, t.recipient, f.protocol, f.helo, f.sasl_username, t.reason,
       t.queue_id
  FROM delivery_to t
  LEFT JOIN delivery_from f ON f.arrived_at = t.arrived_at AND f.queue_id = t.queue_id AND f.host = t.host
 WHERE t.status = 'rejected' AND {} ORDER BY t.last_attempt_at DESC{}"""

# A recipient's row of the same stage tells of the same refusal; one of RCPT is a refusal of its own.
_AS_A_WHOLE: Final = """
SELECT f.rejected_at AS at, f.host, f.service, 'reject' AS action, f.reject_stage AS stage, f.client_name,
       f.client_address, substring(f.reject_reply FROM '^[245][0-9][0-9](?![0-9])')::bigint AS code,
       substring(f.reject_reply FROM '^(?:[245][0-9][0-9] )?([245][.][0-9]{{1,3}}[.][0-9]{{1,3}})(?![0-9])') AS dsn,
       f.reject_reply AS reply, f.sender, NULL::text AS recipient, f.protocol, f.helo, f.sasl_username,
       f.reject_reason AS reason, f.queue_id
  FROM delivery_from f
 WHERE f.rejected_at IS NOT NULL AND {} AND NOT EXISTS (
           SELECT FROM delivery_to t
            WHERE t.arrived_at = f.arrived_at AND t.queue_id = f.queue_id AND t.host = f.host
              AND t.status = 'rejected' AND coalesce(t.stage = f.reject_stage, true)
       ) ORDER BY f.rejected_at DESC{}"""

# The newest of each kind. A wrong clock's future counts only without others.
_NEWEST: Final = """
SELECT greatest(
    (SELECT at FROM noqueue WHERE at < {before} ORDER BY at DESC LIMIT 1),
    (SELECT last_attempt_at FROM delivery_to WHERE status = 'rejected' AND arrived_at < {before}
     ORDER BY arrived_at DESC LIMIT 1)
)"""
# They are looked for among what is newer than the others: where there is none, all would be read for nothing.
_NEWEST_AS_A_WHOLE: Final = """
SELECT max(rejected_at) FROM delivery_from
WHERE rejected_at IS NOT NULL AND arrived_at < {before} AND arrived_at >= coalesce(%s::timestamptz, '-infinity')"""
_BEFORE: Final = ("now() + interval '1 hour'", "'infinity'")


def newest(connection: "Connection") -> datetime | None:
    """Return when the newest rejection was, None without any."""
    last: datetime | None = None
    with connection.cursor() as cursor:
        for before in _BEFORE:
            cursor.execute(_NEWEST.format(before=before))
            [(last,)] = cursor.fetchall()
            cursor.execute(_NEWEST_AS_A_WHOLE.format(before=before), (last,))
            [(whole,)] = cursor.fetchall()
            last = max(filter(None, (last, whole)), default=None)
            if last is not None:
                break
    return last


def search(connection: "Connection", wanted: RejectSearch) -> "Iterator[Record]":
    """Yield the rejections that fit, newest first, fetched as they are needed."""
    return found(connection, query(wanted, newest(connection)), FIELDS)


def query(wanted: RejectSearch, newest_rejection: datetime | None) -> Condition:
    """Return the query; *newest_rejection* ends the window of a search that names none."""
    since = wanted.since
    if since is None and newest_rejection is not None and wanted.queue_id is None:
        since = (min(newest_rejection, wanted.until) if wanted.until else newest_rejection) - DEFAULT_WINDOW
    limit = condition(" LIMIT %s", wanted.limit) if wanted.limit else condition("")
    parts = [_part(_WITH_ID, _with_id(wanted, since), limit)]
    if wanted.recipient is None:
        parts.append(_part(_AS_A_WHOLE, _as_a_whole(wanted, since), limit))
    if wanted.queue_id is None:
        parts.append(_part(_WITHOUT_ID, _without_id(wanted, since), limit))
    every = joined(parts, ") UNION ALL (")
    return Condition(
        SQL("SELECT * FROM ({}) AS rejects ORDER BY at DESC, host, recipient, rejects{}").format(every.sql, limit.sql),
        every.parameters + limit.parameters,
    )


def _part(query: str, where: list[Condition], limit: Condition) -> Condition:
    what = joined(where)
    return Condition(SQL(query).format(what.sql, limit.sql), what.parameters + limit.parameters)


def _without_id(wanted: RejectSearch, since: datetime | None) -> list[Condition]:
    where = _between("at", since, wanted.until)
    where += _who(wanted, sender="sender", recipient="recipient", client="")
    if wanted.action:
        where.append(condition("action = ANY(%s)", statuses(wanted.action)))
    return where


def _with_id(wanted: RejectSearch, since: datetime | None) -> list[Condition]:
    return _of_messages(wanted, since, "t.last_attempt_at", "t.arrived_at", recipient="t.recipient")


def _as_a_whole(wanted: RejectSearch, since: datetime | None) -> list[Condition]:
    return _of_messages(wanted, since, "f.rejected_at", "f.arrived_at", recipient="")


def _of_messages(
    wanted: RejectSearch, since: datetime | None, at: str, arrived_at: str, *, recipient: str
) -> list[Condition]:
    where = _between(at, since, wanted.until)
    # Bounds on the key too: they leave out partitions.
    where += _between(arrived_at, since - _SESSION if since else None, wanted.until)
    where += _who(wanted, sender="f.sender", recipient=recipient, client="f.")
    if wanted.queue_id is not None:
        where.append(condition("f.queue_id = %s", wanted.queue_id.strip()))
    if wanted.action and "reject" not in statuses(wanted.action):
        where.append(condition("false"))
    return where


def _between(column: str, since: datetime | None, until: datetime | None) -> list[Condition]:
    bounds = [(">=", since), ("<", until)]
    return [condition(f"{column} {sign} %s", bound) for sign, bound in bounds if bound is not None]


def _who(wanted: RejectSearch, *, sender: str, recipient: str, client: str) -> list[Condition]:
    where = []
    if wanted.sender is not None:
        where.append(address_condition(sender, asked(wanted.sender)))
    if wanted.recipient is not None:
        where.append(address_condition(recipient, asked(wanted.recipient)))
    if wanted.client is not None:
        where.append(client_condition(f"{client}client_name", f"{client}client_address", wanted.client))
    return where
