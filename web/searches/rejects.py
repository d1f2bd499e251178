"""``rejects``: who was refused what, and why, newest first.

Two kinds: mail that had no queue id yet (table ``noqueue``), and recipients refused of a message that had one
(``delivery_to`` with status ``rejected``; of these the log's stage is known only if the whole message was refused).
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Final

import msgspec

from web.searches.addresses import asked
from web.searches.conditions import (
    DEFAULT_WINDOW,
    Condition,
    address_condition,
    client_condition,
    condition,
    found,
    joined,
    lower,
    with_parameters,
)

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

    from schemas.settings import DatabaseSettings
    from web.searches.records import Record

FIELDS: Final = (
    "at", "host", "service", "action", "stage", "client_name", "client_address", "code", "dsn", "reply", "sender",
    "recipient", "protocol", "helo", "sasl_username",
)  # fmt: skip
"""Names and order are an interface."""


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
