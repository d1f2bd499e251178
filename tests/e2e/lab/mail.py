"""A mail to send, and the SMTP session that sends it, with the answers that it must get."""

import contextlib
import smtplib
import time
from typing import Final, Literal

import msgspec

from lab.configuration import SASL_PASSWORD, SASL_USER
from lab.postfix import Postfix
from lab.truth import Moment

Ending = Literal["sent", "quit", "cut", "reset"]
"""Sent to its end; QUIT after the recipients; connection cut in the data; RSET after the recipients."""

_COMMAND_OK: Final = 250


class Mail(msgspec.Struct, kw_only=True):
    """One message as a client offers it."""

    sender: str
    recipients: list[str]
    message_id: str | None = None
    """Without ``<>``; None: the message has no such header."""
    headers: list[str] = []
    body: str = "A mail of the lab.\r\n.. and a line with dots.\r\n"
    ending: Ending = "sent"
    mail_options: str = ""
    recipient_options: str = ""
    answers: list[int] = []
    """Codes that the recipients must get; empty: 250 each."""
    mail_answer: int = _COMMAND_OK
    data_answer: int = 354
    end_answer: int = _COMMAND_OK
    moment: Moment = msgspec.field(default_factory=Moment)

    def content(self) -> bytes:
        """Return headers and body, with CRLF line ends, dots not doubled."""
        headers = [f"From: <{self.sender or 'MAILER-DAEMON@src.test'}>", "To: undisclosed-recipients:;", *self.headers]
        if self.message_id is not None:
            headers.append(f"Message-ID: <{self.message_id}>")
        return ("\r\n".join(headers) + "\r\n\r\n" + self.body).encode()


class Session(msgspec.Struct, kw_only=True):
    """One connection of a client, or a local submission, with its mails."""

    way: str
    """A service of `configuration.SERVICES`, or ``sendmail``."""
    client: str
    """The loopback address that the client comes from."""
    mails: list[Mail]
    helo: str = "client.example.test"
    login: Literal["", "right", "wrong"] = ""


class WrongAnswerError(AssertionError):
    """Postfix answered otherwise than the truth supposes."""


def send(postfix: Postfix, session: Session) -> None:
    """Do what the session says; raises WrongAnswerError."""
    if session.way == "sendmail":
        for mail in session.mails:
            mail.moment.note(time.time())
            postfix.submit(mail.sender, mail.recipients, mail.content().replace(b"\r\n", b"\n"))
            mail.moment.note(time.time())
        return
    client = smtplib.SMTP(timeout=60, source_address=(session.client, 0))
    try:
        client.connect("127.0.0.1", postfix.ports[session.way])
        client.command_encoding = "utf-8"
        _expect(client.ehlo(session.helo), _COMMAND_OK, session)
        if session.login == "right":
            client.login(SASL_USER, SASL_PASSWORD)
        elif session.login == "wrong":
            with contextlib.suppress(smtplib.SMTPAuthenticationError):
                client.login(SASL_USER, "wrong")
                raise WrongAnswerError(f"a wrong password was taken in {session}")
        for mail in session.mails:
            if not _offer(client, mail, session):
                return
        client.docmd("QUIT")
    finally:
        client.close()


def _offer(client: smtplib.SMTP, mail: Mail, session: Session) -> bool:
    """Offer one mail; False where the connection is gone then."""
    moment = mail.moment
    moment.note(time.time())
    try:
        answer = client.docmd(f"MAIL FROM:<{mail.sender}> {mail.mail_options}".rstrip())
        _expect(answer, mail.mail_answer, session)
        if mail.mail_answer != _COMMAND_OK:
            return True
        answers = mail.answers or [_COMMAND_OK] * len(mail.recipients)
        for recipient, code in zip(mail.recipients, answers, strict=True):
            _expect(client.docmd(f"RCPT TO:<{recipient}> {mail.recipient_options}".rstrip()), code, session)
        if _COMMAND_OK not in answers or mail.ending in {"quit", "reset"}:
            client.docmd("RSET" if mail.ending != "quit" else "QUIT")
            return mail.ending != "quit"
        _expect(client.docmd("DATA"), mail.data_answer, session)
        if mail.data_answer != 354:
            client.docmd("RSET")
            return True
        data = smtplib._quote_periods(mail.content())  # type: ignore[attr-defined]
        client.send(data)
        if mail.ending == "cut":
            return False
        client.send(b"" if data.endswith(b"\r\n") else b"\r\n")
        client.send(b".\r\n")
        _expect(client.getreply(), mail.end_answer, session)
        return True
    finally:
        moment.note(time.time())


def _expect(answer: tuple[int, bytes], code: int, session: Session) -> None:
    if answer[0] != code:
        raise WrongAnswerError(f"expected {code}, got {answer[0]} {answer[1].decode(errors='replace')} in {session}")
