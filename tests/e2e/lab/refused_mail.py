"""Scenarios of mail that is refused, held or discarded on its way in."""

from msgspec.structs import replace

from lab.configuration import SIZE_LIMIT
from lab.destinations import OK, SOFT
from lab.drafting import Draft
from lab.mail import Mail, Session
from lab.milter import TEXT
from lab.truth import Containing, OneOf


def _accepted(draft: Draft, what: str, session: Session, mail: Mail, index: int) -> None:
    outcome = OK.outcomes[0]
    draft.outcome(f"{what}, accepted", session, mail, outcome, draft.token(index), recipient_count=1)


def _ok(draft: Draft, index: int = 0, before: str = "") -> str:
    return f"{before}{draft.token(index)}@ok.test"


def recipient_first(draft: Draft) -> None:
    """The only recipient is refused: no queue id."""
    session = draft.session(draft.random.choice(["smtpd", "submission"]))
    mail = draft.mail(session, draft.sender(), [_ok(draft, before="reject-")], answers=[550])
    if session.way == "submission":
        session.login = "right"
    draft.refused(
        session, mail, mail.recipients[0], 550, "5.1.1", reply=Containing("lab says no such user"),
        sasl_username=OneOf((None, "alice@lab.test")),
    )  # fmt: skip


def recipient_among_others(draft: Draft) -> None:
    """One is refused before there is a queue id, one is accepted, one is refused then."""
    session = draft.session()
    sender = draft.sender()
    recipients = [_ok(draft, 0, "reject-"), _ok(draft, 1), _ok(draft, 2, "reject-")]
    mail = draft.mail(session, sender, recipients, answers=[550, 250, 550])
    draft.refused(session, mail, recipients[0], 550, "5.1.1")
    _accepted(draft, "reject among others", session, mail, 1)
    draft.row(
        "reject among others, refused", session, mail, {"recipient": recipients[2]},
        status="rejected", dsn="5.1.1", reply=Containing("lab says no such user"), attempts=0,
    )  # fmt: skip
    draft.refused_later(session, mail, "5.1.1", "RCPT", recipients[2])


def greylist(draft: Draft) -> None:
    """450 before there is a queue id."""
    session = draft.session()
    mail = draft.mail(session, draft.sender(), [_ok(draft, before="grey-")], answers=[450])
    draft.refused(session, mail, mail.recipients[0], 450, "4.2.0", reply=Containing("come back later"))


def unknown_recipient(draft: Draft) -> None:
    """No such local user, known at RCPT."""
    session = draft.session()
    mail = draft.mail(session, draft.sender(), [f"missing+{draft.token()}@lab.test"], answers=[550])
    draft.refused(session, mail, mail.recipients[0], 550, "5.1.1", reply=Containing("local recipient table"))


def helo(draft: Draft) -> None:
    """A bad HELO name, refused at RCPT."""
    session = draft.session(helo="bad.helo.test")
    mail = draft.mail(session, draft.sender(), [_ok(draft)], answers=[554])
    draft.refused(session, mail, mail.recipients[0], 554, "5.7.1", reply=Containing("lab rejects your name"))


def sender(draft: Draft) -> None:
    """A bad sender."""
    session = draft.session()
    draft.sender()
    mail = draft.mail(session, f"s{draft.mails}@spam.test", [_ok(draft)], answers=[554])
    draft.refused(session, mail, mail.recipients[0], 554, "5.7.1", reply=Containing("lab rejects your sender"))


def client(draft: Draft) -> None:
    """A bad client."""
    session = draft.session(network=66)
    mail = draft.mail(session, draft.sender(), [_ok(draft)], answers=[554])
    draft.refused(session, mail, mail.recipients[0], 554, "5.7.1", reply=Containing("lab knows you"))


def relay(draft: Draft) -> None:
    """A stranger's client that wants to relay."""
    session = draft.session(network=77)
    mail = draft.mail(session, draft.sender(), [_ok(draft)], answers=[554])
    draft.refused(session, mail, mail.recipients[0], 554, "5.7.1", reply=Containing("Relay access denied"))


def postscreen(draft: Draft) -> None:
    """Refused by postscreen, whose lines have commas."""
    session = draft.session("postscreen", network=88)
    mail = draft.mail(session, draft.sender(), [_ok(draft)], answers=[550])
    draft.refused(session, mail, mail.recipients[0], 550, "5.3.2", service="postscreen", client_name=OneOf((None, "")))


def warned(draft: Draft) -> None:
    """warn_if_reject: told, and accepted; a second one is told with the queue id."""
    session = draft.session()
    who = draft.sender()
    recipients = [_ok(draft, i, "doubtful-") for i in range(draft.random.randint(1, 2))]
    mail = draft.mail(session, who, recipients)
    draft.refused(session, mail, recipients[0], 554, "5.7.1", action="reject_warning")
    outcome = OK.outcomes[0]
    for index in range(len(recipients)):
        draft.outcome(
            "reject_warning", session, mail, outcome, f"doubtful-{draft.token(index)}", recipient_count=len(recipients)
        )


def told(draft: Draft) -> None:
    """Access actions WARN and INFO: mail goes on, and nothing was refused."""
    session = draft.session()
    who = draft.sender()
    action = draft.random.choice(["warn", "info"])
    mail = draft.mail(session, who, [_ok(draft, before=f"{action}-")])
    draft.outcome(f"access {action}", session, mail, OK.outcomes[0], f"{action}-{draft.token()}")


def declared_size(draft: Draft) -> None:
    """The client declares more than is allowed: refused at MAIL."""
    session = draft.session()
    mail = draft.mail(session, draft.sender(), [_ok(draft)], mail_options="SIZE=9999999", mail_answer=552)
    draft.refused(
        session, mail, None, 552, "5.3.4", stage="MAIL", sender=OneOf((None, mail.sender)),
        reply=Containing("exceeds fixed limit"),
    )  # fmt: skip


def real_size(draft: Draft) -> None:
    """The content is larger than is allowed."""
    session = draft.session()
    body = "0123456789012345678901234567890123456789\r\n" * (SIZE_LIMIT // 40)
    mail = draft.mail(session, draft.sender(), [_ok(draft)], body=body, end_answer=552)
    draft.whole("too large", session, mail, "rejected", sender=OneOf((None, mail.sender)))
    draft.refused_unnamed(session, mail, "END-OF-MESSAGE", reply=Containing("size limit"), reason="too-large")


def _by_content(draft: Draft, session: Session, mail: Mail, action: str, status: str) -> None:
    draft.whole(f"header {action}", session, mail, status, "hold" if action == "hold" else "")
    if action == "reject":
        draft.refused_later(session, mail, "5.7.1", "header")


def content(draft: Draft) -> None:
    """Refused, discarded or held by header_checks or body_checks: one row for the whole message."""
    session = draft.session()
    who = draft.sender()
    recipients = [_ok(draft, i) for i in range(draft.random.randint(1, 3))]
    action, status = draft.random.choice([("reject", "rejected"), ("discard", "discarded"), ("hold", "held")])
    mail = draft.mail(
        session, who, recipients, f"X-Lab: {action}; from=<no@fake.example>",
        end_answer=550 if action == "reject" else 250,
    )  # fmt: skip
    _by_content(draft, session, mail, action, status)


def every_content(draft: Draft) -> None:
    """Each of the checks once, so that no run lacks one."""
    for action, status, code in (("reject", "rejected", 550), ("discard", "discarded", 250), ("hold", "held", 250)):
        session = draft.session()
        who = draft.sender()
        mail = draft.mail(session, who, [_ok(draft)], f"X-Lab: {action}", end_answer=code)
        _by_content(draft, session, mail, action, status)
    session = draft.session()
    mail = draft.mail(session, draft.sender(), [_ok(draft)], body="lab: reject this body\r\n", end_answer=550)
    draft.whole("body reject", session, mail, "rejected")
    draft.refused_later(session, mail, "5.7.1", "body")


def content_told(draft: Draft) -> None:
    """header_checks WARN: mail goes on."""
    session = draft.session()
    who = draft.sender()
    mail = draft.mail(session, who, [_ok(draft)], "X-Lab: warn")
    _accepted(draft, "header warn", session, mail, 0)


def redirected(draft: Draft) -> None:
    """header_checks REDIRECT: another recipient instead."""
    session = draft.session()
    who = draft.sender()
    token = draft.token()
    mail = draft.mail(session, who, [SOFT.address.format(t=token)], f"X-Lab: redirect {token}@ok.test")
    elsewhere = replace(OK.outcomes[0], orig_recipient=SOFT.address)
    draft.outcome("header redirect", session, mail, elsewhere, token, recipient_count=1)


def discarded_recipient(draft: Draft) -> None:
    """Access action DISCARD."""
    session = draft.session()
    who = draft.sender()
    mail = draft.mail(session, who, [_ok(draft, before="drop-")])
    draft.told(session, mail, "discard")
    draft.whole("access discard", session, mail, "discarded", sender=OneOf((None, who)))


def at_data(draft: Draft) -> None:
    """Refused at DATA, and at the end of the data."""
    session = draft.session()
    who = draft.sender("nodata-")
    mail = draft.mail(session, who, [_ok(draft)], data_answer=550)
    draft.row(
        "reject at DATA", session, mail, {"status": "rejected"},
        recipient=OneOf((None, *mail.recipients)), message_id=OneOf((None, "")),
    )  # fmt: skip
    draft.refused_later(session, mail, "5.7.1", "DATA")
    session = draft.session()
    who = draft.sender("noend-")
    mail = draft.mail(session, who, [_ok(draft)], end_answer=550)
    draft.whole("reject at the end", session, mail, "rejected")
    draft.refused_later(session, mail, "5.7.1", "END-OF-MESSAGE")


def milter(draft: Draft) -> None:
    """A milter refuses a recipient, or refuses, discards or quarantines the message; or does nothing."""
    session = draft.session("milter")
    mail = draft.mail(session, draft.sender(), [_ok(draft, before="mno-")], answers=[550])
    draft.refused(session, mail, mail.recipients[0], 550, "5.7.1", action="milter-reject", reply=Containing(TEXT))
    for action, status, code in (("reject", "rejected", 554), ("discard", "discarded", 250), ("hold", "held", 250)):
        session = draft.session("milter")
        who = draft.sender(f"m{action}-")
        mail = draft.mail(session, who, [_ok(draft)], end_answer=code)
        draft.whole(f"milter {action}", session, mail, status, "hold" if action == "hold" else "")
        if action == "reject":
            draft.refused_later(session, mail, "5.7.1", "END-OF-MESSAGE")
    session = draft.session("milter")
    who = draft.sender()
    _accepted(draft, "milter", session, draft.mail(session, who, [_ok(draft)]), 0)
