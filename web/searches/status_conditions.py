"""What an effective status implies of the rows that a delivery is made of: such rows are found by an index."""

from collections.abc import Mapping, Sequence
from typing import Final

from web.searches.conditions import Condition, condition, joined, statuses

STATUSES: Final = (
    "sent", "deferred", "bounced", "expired", "deleted", "held", "discarded", "rejected", "cancelled", "queued",
    "deliverable", "undeliverable",
)  # fmt: skip
"""All effective statuses: what else Postfix may log of an attempt counts as deferred."""

# What a status implies of a row of delivery_to and of one of delivery_from, each with an index: of either, where it
# is in both.
OF_RECIPIENTS: Final = {
    "bounced": "t.status = 'bounced'",
    "deferred": "t.status <> 'sent'",
    "rejected": "t.status = 'rejected'",
    "discarded": "t.status = 'sent' AND (t.service = 'discard' OR t.service LIKE '%%/discard')",
    "deliverable": "t.status = 'deliverable'",
    "undeliverable": "t.status = 'undeliverable'",
}
_NEVER_QUEUED: Final = "(f.queued_at IS NULL AND f.rejected_at IS NULL AND f.discarded_at IS NULL)"
OF_MESSAGES: Final = {
    "held": f"(f.held_at IS NOT NULL OR {_NEVER_QUEUED})",
    "expired": "f.expired_at IS NOT NULL",
    "deleted": "f.deleted_at IS NOT NULL",
    "cancelled": f"(f.cancelled_at IS NOT NULL OR {_NEVER_QUEUED})",
    "rejected": "f.rejected_at IS NOT NULL",
    "discarded": f"(f.discarded_at IS NOT NULL OR {_NEVER_QUEUED})",
}


def implied_by(status: Sequence[str], implied: Mapping[str, str], others: Mapping[str, str]) -> list[Condition]:
    """Return what the statuses that are asked for imply of a row; nothing where one of them implies nothing.

    *implied* is of these rows, *others* of those of the other table.
    """
    asked_for = statuses(status)
    if not asked_for or not implied.keys() - others.keys() >= set(asked_for):
        return []
    return [joined([condition(implied[status]) for status in asked_for], " OR ")]
