"""The mix of a run: every scenario at least once, then more of them by weight, all from one seed."""

from collections.abc import Callable
from random import Random
from typing import Final

from lab import delivered_mail, given_up_mail, handled_mail, refused_mail
from lab.drafting import Draft

Scenario = Callable[[Draft], None]

_ONCE: Final[tuple[Scenario, ...]] = (
    delivered_mail.every_destination,
    delivered_mail.expiring,
    delivered_mail.under_way,
    delivered_mail.unknown_to_server,
    refused_mail.every_content,
    given_up_mail.no_mail,
)

_WEIGHTS: Final[dict[Scenario, int]] = {
    delivered_mail.several_destinations: 60,
    delivered_mail.local_submission: 8,
    delivered_mail.filtered: 8,
    delivered_mail.several_mails_a_session: 3,
    delivered_mail.no_message_id: 2,
    delivered_mail.same_message_id: 2,
    delivered_mail.two_aliases_of_one: 2,
    delivered_mail.international: 3,
    delivered_mail.success_notice: 2,
    delivered_mail.greylisted: 4,
    refused_mail.recipient_first: 4,
    refused_mail.recipient_among_others: 4,
    refused_mail.greylist: 3,
    refused_mail.unknown_recipient: 2,
    refused_mail.helo: 1,
    refused_mail.sender: 1,
    refused_mail.client: 1,
    refused_mail.relay: 1,
    refused_mail.postscreen: 1,
    refused_mail.warned: 2,
    refused_mail.told: 2,
    refused_mail.declared_size: 1,
    refused_mail.real_size: 1,
    refused_mail.content: 5,
    refused_mail.content_told: 1,
    refused_mail.redirected: 1,
    refused_mail.discarded_recipient: 2,
    refused_mail.at_data: 1,
    refused_mail.milter: 2,
    given_up_mail.given_up: 2,
    given_up_mail.reset_then_sent: 2,
    handled_mail.deleted: 2,
    handled_mail.deleted_late: 1,
    handled_mail.held: 2,
    handled_mail.held_and_released: 1,
    handled_mail.released: 1,
    handled_mail.deleted_on_hold: 1,
    handled_mail.expired: 1,
    handled_mail.requeued: 1,
}


def draw_up(seed: int, mails: int, host: str) -> Draft:
    """Return a run of at least *mails* mails; the same for the same *seed* and *mails*."""
    draft = Draft(host=host, random=Random(seed))
    for scenario in (*_ONCE, *_WEIGHTS):
        scenario(draft)
    while draft.mails < mails:
        draft.random.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0](draft)
    draft.random.shuffle(draft.sessions)
    return draft
