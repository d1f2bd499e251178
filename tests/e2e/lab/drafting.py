"""A run being drawn up: the sessions that will be held, and beside each mail what must become of it."""

from collections.abc import Mapping, Sequence
from random import Random
from typing import Final

import msgspec

from lab.configuration import SASL_USER
from lab.destinations import Destination, Outcome
from lab.mail import Mail, Session
from lab.truth import AtLeast, Claim, Containing, Given, Moment, OneOf, QueueIdOf, Row, Truth, Value

SERVICE_OF: Final = {
    "smtpd": "smtpd", "submission": "submission/smtpd", "filtered": "smtpd", "milter": "smtpd", "postscreen": "smtpd",
    "sendmail": "pickup", "reinject": "reinject/smtpd",
}  # fmt: skip


NO_CODE: Final = OneOf((None, 0))
NO_DSN: Final = OneOf((None, ""))


class Handling(msgspec.Struct, frozen=True):
    """What an administrator does to the queued mail of a sender, between two queue runs."""

    after: int
    """How many queue runs have been by then."""
    option: str
    """Of postsuper(1)."""
    sender: str


class Draft(msgspec.Struct):
    """The run so far."""

    host: str
    random: Random
    truth: Truth = msgspec.field(default_factory=Truth)
    sessions: list[Session] = []
    handlings: list[Handling] = []
    run: Moment = msgspec.field(default_factory=Moment)
    """From the first mail to the last queue run."""
    number: int = 0
    mails: int = 0

    def session(self, way: str = "smtpd", network: int = 20, **more: str) -> Session:
        """Add a session whose client has a loopback address of its own; *network* is its second byte."""
        self.number += 1
        client = f"127.{network}.{self.number >> 8}.{self.number & 255}"
        session = msgspec.convert({"way": way, "client": client, "mails": [], **more}, Session)
        self.sessions.append(session)
        return session

    def sender(self, before: str = "s", *, odd: bool = True) -> str:
        """Return an envelope sender that no other mail has."""
        self.mails += 1
        if odd and before == "s":
            return self.random.choice([
                f"s{self.mails}@src.test", f"s{self.mails}@src.test", f"s{self.mails}@app.src.test",
                f'"odd s{self.mails}"@src.test', f"s{self.mails}+tag=x/y@src.test", f"S.{self.mails}@SRC.test",
            ])  # fmt: skip
        return f"{before}{self.mails}@src.test"

    def mail(self, session: Session, sender: str, recipients: Sequence[str], *headers: str, **more: object) -> Mail:
        """Add a mail to a session, with a Message-ID of its own unless *more* says otherwise."""
        domain = sender.rpartition("@")[2] or "src.test"
        fields: dict[str, object] = {
            "sender": sender,
            "recipients": list(recipients),
            "headers": list(headers) or [f"Subject: lab mail {self.mails}"],
            "message_id": f"lab-{self.mails}-{self.random.randrange(16**6):06x}@{domain}",
        }  # fmt: skip
        mail = msgspec.convert({**fields, **more}, Mail)
        session.mails.append(mail)
        return mail

    def token(self, index: int = 0) -> str:
        """Return what makes a recipient address of the latest mail its own."""
        return f"r{self.mails}-{index}"

    def message_claims(self, session: Session, mail: Mail) -> dict[str, Claim]:
        """Return what every row of this mail says of the message."""
        local = session.way == "sendmail"
        claims: dict[str, Claim] = {
            "host": self.host,
            "queue_id": Given(),
            "arrived_at": mail.moment,
            "sender": mail.sender,
            "client_name": None if local else "unknown",
            "client_address": None if local else session.client,
            "sasl_username": SASL_USER if session.login == "right" else None,
            "service": SERVICE_OF[session.way],
            "parent_queue_id": None,
        }
        if mail.message_id is not None:
            claims["message_id"] = mail.message_id
        return claims

    def row(self, what: str, session: Session, mail: Mail, find: Mapping[str, Value], **claims: Claim) -> Row:
        """Expect a row of this mail: *find* adds to the client's address (or the sender, for local mail)."""
        whose = {"sender": mail.sender} if session.way == "sendmail" else {"client_address": session.client}
        row = Row(
            what=f"{what} ({session.way})",
            message=f"{session.way} {session.client} {mail.sender}",
            sender=mail.sender,
            find={**whose, **find},
            claims={**self.message_claims(session, mail), **claims},
        )
        self.truth.deliveries.append(row)
        return row

    def whole(self, what: str, session: Session, mail: Mail, status: Claim, queue: str = "", **claims: Claim) -> Row:
        """Expect the one row of a mail that was never tried for a recipient; its session has no other such mail.

        Its Message-ID is logged or not: what is refused or discarded by a header is not read any further.
        """
        said: dict[str, Claim] = {
            "recipient": OneOf((None, *mail.recipients)),
            "message_id": mail.message_id
            if status in {"held", "queued", "deleted"}
            else OneOf((None, mail.message_id)),
            "attempts": 0,
            "first_attempt_at": None,
            "next_queue_id": None,
        }
        row = self.row(what, session, mail, {}, **{**said, "status": status, **claims})
        row.queue = queue
        return row

    def outcome(self, what: str, session: Session, mail: Mail, outcome: Outcome, token: str, **claims: Claim) -> Row:
        """Expect the row of one recipient."""
        recipient, orig = outcome.recipient.format(t=token), outcome.orig_recipient.format(t=token) or None
        said: dict[str, Claim] = {
            "status": outcome.status,
            "dsn": outcome.dsn,
            "relay": Containing(outcome.relay),
            "reply": Containing(outcome.reply),
            "delay": AtLeast(0),
            "attempts": outcome.attempts,
            "first_attempt_at": self.run,
            "last_attempt_at": self.run,
            "size": AtLeast(len(mail.content())),
            "next_queue_id": None,
        }
        find = {"recipient": recipient, "orig_recipient": orig}
        row = self.row(what, session, mail, find, **{**said, **claims})
        row.peer, row.attempts = outcome.peer, outcome.attempts
        row.queue = "deferred" if outcome.status == "deferred" else ""
        if outcome.onward:
            self._onward(what, mail, row, outcome.onward.format(t=token), recipient)
        return row

    def _onward(self, what: str, mail: Mail, row: Row, recipient: str, orig: str) -> None:
        claims: dict[str, Claim] = {
            "host": self.host, "sender": mail.sender, "status": "sent", "dsn": "2.0.0", "attempts": 1,
            "parent_queue_id": QueueIdOf(row), "arrived_at": self.run, "client_address": None, "orig_recipient": orig,
        }  # fmt: skip
        if mail.message_id is not None:
            claims["message_id"] = mail.message_id
        onward = Row(
            what=f"forwarded, {what}",
            message=f"onward {recipient} {mail.sender}",
            sender=mail.sender,
            find={"sender": mail.sender, "recipient": recipient, "client_address": None},
            claims=claims, peer=True, attempts=1,
        )  # fmt: skip
        self.truth.deliveries.append(onward)
        row.claims["next_queue_id"] = QueueIdOf(onward)

    def notice(self, what: str, mail: Mail, parent: Row) -> None:
        """Expect a notification to the mail's sender, made from the *parent*'s message."""
        self.truth.deliveries.append(
            Row(
                what=f"notice of {what}",
                message=f"notice {len(self.truth.deliveries)}",
                find={"sender": "", "recipient": mail.sender, "client_address": None, "orig_recipient": None},
                claims={
                    "host": self.host, "status": "sent", "dsn": "2.0.0", "attempts": 1, "message_id": Given(),
                    "parent_queue_id": QueueIdOf(parent), "arrived_at": self.run, "recipient_count": 1,
                    "next_queue_id": None, "sasl_username": None,
                },
                peer=True, attempts=1,
            )
        )  # fmt: skip

    def deliver(
        self, what: str, session: Session, mail: Mail, to: Sequence[tuple[Destination, str]], **claims: Claim
    ) -> list[Row]:
        """Expect all rows of an accepted mail, the notice of what bounced included."""
        count = sum(len(destination.outcomes) for destination, _ in to)
        rows = [
            self.outcome(
                f"{what}: {destination.name}", session, mail, outcome, token, **{"recipient_count": count, **claims}
            )
            for destination, token in to
            for outcome in destination.outcomes
        ]
        bounced = [row for row in rows if row.status == "bounced"]
        if bounced and mail.sender:
            self.notice(what, mail, bounced[0])
        return rows

    def refused(
        self, session: Session, mail: Mail, recipient: str | None, code: Claim, dsn: Claim, **more: Claim
    ) -> None:
        """Expect a line of ``rejects``, of a recipient that was refused (or held, …) before there was a queue id."""
        claims: dict[str, Claim] = {
            "host": self.host, "at": mail.moment, "service": SERVICE_OF[session.way], "action": "reject",
            "stage": "RCPT", "client_name": "unknown", "code": code, "dsn": dsn, "sender": mail.sender,
            "protocol": "ESMTP", "helo": session.helo, **more,
        }  # fmt: skip
        row = Row(
            what=f"{claims['stage']} {recipient or mail.sender} refused ({session.way})",
            message="",
            find={"client_address": session.client, "recipient": recipient},
            claims=claims,
        )
        self.truth.rejects.append(row)

    def refused_later(self, session: Session, mail: Mail, dsn: str, stage: str, recipient: str = "") -> None:
        """Expect a line of ``rejects`` for a message that has a queue id: of one recipient, or of the whole message.

        A whole message is refused with the name of one of its recipients, and cleanup logs no SMTP code.
        """
        code = AtLeast(400) if stage in {"RCPT", "DATA"} else OneOf((None, mail.end_answer))
        self.refused(session, mail, recipient, code, dsn, stage=stage, action=OneOf(("reject", "milter-reject")))
        row = self.truth.rejects[-1]
        row.message = f"{session.way} {session.client} {mail.sender}"
        row.claims |= {"service": OneOf(("smtpd", "cleanup"))}
        if not recipient:
            row.find = {"client_address": session.client}
            row.claims["recipient"] = OneOf(tuple(mail.recipients))

    def refused_unnamed(self, session: Session, mail: Mail, stage: str, **more: Claim) -> None:
        """Expect a line of ``rejects`` for a message of which the log says neither sender nor recipient."""
        unknown = OneOf((None, ""))
        self.refused(session, mail, None, NO_CODE, NO_DSN, stage=stage, protocol=unknown, helo=unknown, **more)
        self.truth.rejects[-1].message = f"{session.way} {session.client} {mail.sender}"
        self.truth.rejects[-1].claims["sender"] = OneOf((None, mail.sender))

    def told(self, session: Session, mail: Mail, action: str) -> None:
        """Expect a line of ``rejects`` that is none: an access table's action that has no reply for the client."""
        self.refused(session, mail, mail.recipients[0], NO_CODE, NO_DSN, action=action)
