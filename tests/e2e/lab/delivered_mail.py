"""Scenarios of mail that is accepted and delivered, or not, by itself."""

from msgspec.structs import replace

from lab.configuration import REINJECT_CLIENT
from lab.destinations import DESTINATIONS, HARD, LATER, OK, ONE_ALIAS, SOFT, UNTAKEN, Destination, Outcome
from lab.drafting import Draft
from lab.mail import Session
from lab.truth import AtLeast, Containing, OneOf, QueueIdOf

_NET = "127.0.0.1[127.0.0.1]:"


def _some(draft: Draft, most: int, *, known: bool = True) -> list[tuple[Destination, str]]:
    choice = [d for d in DESTINATIONS if d.known or not known]
    picked = [draft.random.choice(choice) for _ in range(draft.random.randint(1, most))]
    return [(destination, draft.token(index)) for index, destination in enumerate(picked)]


def _addresses(to: list[tuple[Destination, str]]) -> list[str]:
    return [destination.address.format(t=token) for destination, token in to]


def several_destinations(draft: Draft) -> None:
    """One to six recipients anywhere, by SMTP with or without login."""
    way = draft.random.choice(["smtpd", "smtpd", "smtpd", "submission", "postscreen"])
    session = draft.session(way, login="right" if way == "submission" else "")
    sender = draft.sender()
    to = _some(draft, 6)
    if all(outcome.attempts == 1 for d, _ in to for outcome in d.outcomes) and draft.random.random() < 0.1:
        sender = ""
    headers = draft.random.choice([(), (), (f"Subject: x {draft.mails} from=<fake@evil.example>, status=sent (no)",)])
    mail = draft.mail(session, sender, _addresses(to), *headers)
    draft.deliver("several", session, mail, to)


def every_destination(draft: Draft) -> None:
    """A mail to each destination that there is, so that no run lacks one."""
    session = draft.session()
    sender = draft.sender()
    to = [(destination, draft.token(i)) for i, destination in enumerate(d for d in DESTINATIONS if d.known)]
    draft.deliver("every", session, draft.mail(session, sender, _addresses(to)), to)


def local_submission(draft: Draft) -> None:
    """By sendmail(1), to one to three recipients; an unknown local user bounces."""
    session = draft.session("sendmail")
    sender = draft.sender()
    to = [*_some(draft, 2, known=False), (draft.random.choice(DESTINATIONS), draft.token(9))]
    draft.deliver("local", session, draft.mail(session, sender, _addresses(to)), to)


def unknown_to_server(draft: Draft) -> None:
    """By sendmail(1), to what the SMTP server refuses: these bounce."""
    session = draft.session("sendmail")
    sender = draft.sender()
    to = [(destination, draft.token(i)) for i, destination in enumerate(d for d in DESTINATIONS if not d.known)]
    draft.deliver("unknown to the server", session, draft.mail(session, sender, _addresses(to)), to)


def several_mails_a_session(draft: Draft) -> None:
    """Three mails on one connection: a hold for the first's recipient must not stick to the others."""
    session = draft.session()
    held = draft.mail(session, draft.sender(), [f"hold-{draft.token()}@ok.test"])
    draft.told(session, held, "hold")
    row = draft.whole("held, others follow", session, held, "held", "hold", sender=OneOf((None, held.sender)))
    row.find["message_id"] = held.message_id
    for _ in range(2):
        sender = draft.sender()
        to = [(OK, draft.token())]
        draft.deliver("after a hold", session, draft.mail(session, sender, _addresses(to)), to)


def no_message_id(draft: Draft) -> None:
    """The header is missing."""
    session = draft.session()
    sender = draft.sender()
    to = [(OK, draft.token())]
    draft.deliver("no message-id", session, draft.mail(session, sender, _addresses(to), message_id=None), to)


def same_message_id(draft: Draft) -> None:
    """Two mails with the same Message-ID."""
    for _ in range(2):
        session = draft.session()
        sender = draft.sender()
        to = [(OK, draft.token())]
        message_id = f"twice-{draft.number >> 1}@src.test"
        draft.deliver(
            "same message-id", session, draft.mail(session, sender, _addresses(to), message_id=message_id), to
        )


def two_aliases_of_one(draft: Draft) -> None:
    """Two aliases of the same address: two deliveries that only the original recipient tells apart."""
    session = draft.session()
    sender = draft.sender()
    same = Outcome(recipient="same-{t}@ok.test", status="sent", dsn="2.0.0", peer=True)
    to = [
        (Destination(name=name, address=f"{name}-{{t}}@alias.test", outcomes=(_from(same, f"{name}-{{t}}"),)), t)
        for name in ("first", "second")
        for t in [draft.token()]
    ]
    draft.deliver("two aliases of one", session, draft.mail(session, sender, _addresses(to)), to)


def _from(outcome: Outcome, alias: str) -> Outcome:
    return Outcome(
        recipient=outcome.recipient, orig_recipient=f"{alias}@alias.test", status="sent", dsn="2.0.0", peer=True
    )


def international(draft: Draft) -> None:
    """UTF-8 addresses: one host takes them, another does not know them."""
    session = draft.session()
    sender = draft.sender("jürgen-", odd=False)
    to = [
        (Destination(name=n, address=f"jörg-{{t}}@{n}.test", outcomes=(
            Outcome(recipient=f"jörg-{{t}}@{n}.test", status=status, dsn=dsn, reply=reply, peer=status == "sent"),
        )), draft.token(i))
        for i, (n, status, dsn, reply) in enumerate(
            [("ok", "sent", "2.0.0", ""), ("hard", "bounced", "5.6.7", "SMTPUTF8")]
        )
    ]  # fmt: skip
    mail = draft.mail(session, sender, _addresses(to), mail_options="SMTPUTF8", message_id=f"u{draft.mails}@src.test")
    draft.deliver("international", session, mail, to)


def success_notice(draft: Draft) -> None:
    """The client asks for a notice of success."""
    session = draft.session()
    sender = draft.sender()
    to = [(OK, draft.token())]
    mail = draft.mail(session, sender, _addresses(to), recipient_options="NOTIFY=SUCCESS")
    draft.notice("success", mail, draft.deliver("success notice", session, mail, to)[0])


def filtered(draft: Draft) -> None:
    """Through the after-queue content filter: two queue ids, one mail."""
    session = draft.session("filtered")
    sender = draft.sender()
    plain = [d for d in DESTINATIONS if d.known and not any(o.orig_recipient for o in d.outcomes)]
    to = [(draft.random.choice(plain), draft.token(0)), (ONE_ALIAS, draft.token(1)), (OK, draft.token(2))]
    mail = draft.mail(session, sender, _addresses(to))
    # The filter knows the recipients as they are after alias expansion.
    given = [(replace(d, outcomes=tuple(replace(o, orig_recipient="") for o in d.outcomes)), t) for d, t in to]
    back = Session(way="reinject", client=REINJECT_CLIENT, mails=[])
    second = draft.deliver("filtered, second hop", back, mail, given, arrived_at=draft.run)
    for (destination, token), row in zip(to, second, strict=True):
        row.find["sender"] = sender
        first = replace(
            destination.outcomes[0], status="sent", dsn="2.0.0", attempts=1, relay=_NET, reply="", peer=False, onward=""
        )
        hop = draft.outcome(
            f"filtered, first hop: {destination.name}", session, mail, first, token,
            next_queue_id=QueueIdOf(row), recipient_count=len(to), reply=Containing("queued as"),
        )  # fmt: skip
        row.claims["parent_queue_id"] = QueueIdOf(hop)


def expiring(draft: Draft) -> None:
    """From the null sender to where it is deferred: expires soon, without notice."""
    session = draft.session()
    draft.sender()
    outcome = SOFT.outcomes[0]
    mail = draft.mail(session, "", [SOFT.address.format(t=draft.token())])
    row = draft.outcome(
        "expiring", session, mail, outcome, draft.token(), status="expired", attempts=AtLeast(1), dsn=Containing("")
    )
    row.attempts, row.queue = 0, ""


def under_way(draft: Draft) -> None:
    """To a host that never greets: the log ends before the mail does."""
    session = draft.session()
    sender = draft.sender()
    mail = draft.mail(session, sender, [UNTAKEN.address.format(t=draft.token())])
    draft.whole("under way", session, mail, "queued", "active", recipient_count=1, size=AtLeast(len(mail.content())))


def greylisted(draft: Draft) -> None:
    """The next host wants it twice."""
    session = draft.session()
    sender = draft.sender()
    to = [(LATER, draft.token()), (HARD, draft.token(1))]
    draft.deliver("greylisted", session, draft.mail(session, sender, _addresses(to)), to)
