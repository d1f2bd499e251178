"""Scenarios of mail that an administrator holds, releases, requeues, expires or deletes."""

from msgspec.structs import replace

from lab.destinations import LATER, OK, ROUNDS, SOFT, Outcome
from lab.drafting import Draft, Handling
from lab.mail import Mail, Session
from lab.truth import AtLeast, Containing, QueueIdOf, Row

_SOFT, _OK = SOFT.outcomes[0], OK.outcomes[0]


def _pending(draft: Draft, what: str, status: str, attempts: int, queue: str) -> tuple[Session, Mail, Row]:
    """Expect a mail with one recipient delivered and one pending, and return the row of the pending one."""
    session = draft.session()
    who = draft.sender()
    tokens = draft.token(0), draft.token(1)
    mail = draft.mail(session, who, [OK.address.format(t=tokens[0]), SOFT.address.format(t=tokens[1])])
    draft.outcome(f"{what}, delivered before", session, mail, _OK, tokens[0], recipient_count=2)
    row = draft.outcome(what, session, mail, _SOFT, tokens[1], recipient_count=2, status=status, attempts=attempts)
    row.attempts, row.queue = attempts, queue
    return session, mail, row


def deleted(draft: Draft) -> None:
    """Deleted while pending for one of two recipients."""
    _, mail, _ = _pending(draft, "deleted", "deleted", 1, "")
    draft.handlings.append(Handling(0, "-d", mail.sender))


def deleted_late(draft: Draft) -> None:
    """Deleted after two attempts."""
    _, mail, _ = _pending(draft, "deleted late", "deleted", 2, "")
    draft.handlings.append(Handling(1, "-d", mail.sender))


def held(draft: Draft) -> None:
    """Put on hold while pending."""
    _, mail, _ = _pending(draft, "put on hold", "held", 1, "hold")
    draft.handlings.append(Handling(0, "-h", mail.sender))


def held_and_released(draft: Draft) -> None:
    """Put on hold for a queue run, then released."""
    _, mail, _ = _pending(draft, "held and released", "deferred", ROUNDS - 1, "deferred")
    draft.handlings += [Handling(0, "-h", mail.sender), Handling(1, "-H", mail.sender)]


def released(draft: Draft) -> None:
    """Held by its content, then released and delivered."""
    session = draft.session()
    who = draft.sender()
    mail = draft.mail(session, who, [OK.address.format(t=draft.token())], "X-Lab: hold")
    draft.outcome("released", session, mail, _OK, draft.token(), recipient_count=1)
    draft.handlings.append(Handling(0, "-H", who))


def deleted_on_hold(draft: Draft) -> None:
    """Held by its content, then deleted."""
    session = draft.session()
    who = draft.sender()
    mail = draft.mail(session, who, [OK.address.format(t=draft.token())], "X-Lab: hold")
    draft.whole("deleted on hold", session, mail, "deleted")
    draft.handlings.append(Handling(0, "-d", who))


def expired(draft: Draft) -> None:
    """Made to expire: the next queue run returns it to its sender."""
    _, mail, row = _pending(draft, "made to expire", "expired", 0, "")
    row.claims |= {"attempts": AtLeast(1), "dsn": Containing("")}
    draft.notice("expired", mail, row)
    draft.handlings.append(Handling(0, "-e", mail.sender))


def requeued(draft: Draft) -> None:
    """Requeued: goes on under a new queue id, which comes from pickup; once delivered there, once deferred again."""
    for destination in (LATER, SOFT):
        session = draft.session()
        who = draft.sender()
        outcome, token = destination.outcomes[0], draft.token()
        mail = draft.mail(session, who, [destination.address.format(t=token)])
        first = replace(outcome, status="deferred", peer=False, attempts=1)
        before = draft.outcome("requeued, before", session, mail, first, token, recipient_count=1)
        again: Outcome = replace(outcome, attempts=1 if destination is LATER else ROUNDS)
        local = Session(way="sendmail", client="", mails=[])
        after = draft.outcome("requeued, after", local, mail, again, token, recipient_count=1, arrived_at=draft.run)
        after.find["client_address"] = None
        after.claims["parent_queue_id"] = QueueIdOf(before)
        before.claims |= {"dsn": Containing("4."), "next_queue_id": QueueIdOf(after)}
        before.queue = ""
        draft.handlings.append(Handling(0, "-r", who))
