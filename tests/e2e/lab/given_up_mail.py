"""Scenarios of mail that its client gives up, and of connections without any."""

from lab.destinations import OK
from lab.drafting import Draft
from lab.truth import OneOf


def given_up(draft: Draft) -> None:
    """QUIT or RSET after the recipients, or the connection cut in the data."""
    for ending in ("quit", "reset", "cut"):
        session = draft.session()
        mail = draft.mail(session, draft.sender(), [OK.address.format(t=draft.token())], ending=ending)
        draft.row(
            f"given up: {ending}", session, mail, {},
            status="cancelled", sender=OneOf((None, mail.sender)), recipient=OneOf((None, *mail.recipients)),
            message_id=OneOf((None, mail.message_id)),
        )  # fmt: skip


def reset_then_sent(draft: Draft) -> None:
    """A transaction is given up and another one sent, on the same connection."""
    session = draft.session()
    mail = draft.mail(session, draft.sender(), [OK.address.format(t=draft.token())], ending="reset")
    draft.row(
        "reset, another follows", session, mail, {"status": "cancelled"},
        sender=OneOf((None, mail.sender)), message_id=None, recipient=OneOf((None, *mail.recipients)),
    )  # fmt: skip
    who = draft.sender()
    mail = draft.mail(session, who, [OK.address.format(t=draft.token())])
    draft.outcome("after a reset", session, mail, OK.outcomes[0], draft.token(), recipient_count=1)


def no_mail(draft: Draft) -> None:
    """Connections without mail, and a login that fails: no row."""
    draft.session()
    draft.session("submission", login="wrong")
