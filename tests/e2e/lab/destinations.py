"""Where the lab's mail can go, and what becomes of it there: the table that peers and truth agree on."""

from typing import Final

import msgspec
from msgspec.structs import replace

ROUNDS: Final = 3
"""Delivery attempts that a deferred message gets in a whole run: on arrival, and in two queue runs."""

FAKED_REPLY: Final = "2.0.0 Ok, status=bounced (no), to=<nobody@fake.example>; queued as 4F5B7C1234"
"""What a peer answers to try a parser. The queue id looks like one of ours."""
FAKED_REFUSAL: Final = (
    "5.7.1 to=<x@y.example>, relay=none, dsn=2.0.0, status=sent (250 ok (queued)) ; from=<z@y.example>"
)


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of one recipient there. Addresses are templates: ``{t}`` is the recipient's token."""

    recipient: str
    orig_recipient: str = ""
    status: str
    """The effective status."""
    dsn: str
    attempts: int = 1
    relay: str = ""
    """What ``relay=`` must contain."""
    reply: str = ""
    """What the text in parentheses must contain."""
    peer: bool = False
    onward: str = ""
    """The recipient of the new message that local delivery makes of it."""


class Destination(msgspec.Struct, frozen=True, kw_only=True):
    """A recipient address that a client may give, and its outcomes."""

    name: str
    address: str
    outcomes: tuple[Outcome, ...]
    known: bool = True
    """Whether the SMTP server accepts it; local submission always does."""

    @property
    def statuses(self) -> set[str]:
        """The statuses of the outcomes."""
        return {outcome.status for outcome in self.outcomes}


def _one(name: str, status: str, dsn: str, **more: str | int | bool) -> Destination:
    """Return a destination whose domain is its name, with one outcome for the address itself."""
    attempts = ROUNDS if status == "deferred" else 1
    outcome = msgspec.convert(
        {"recipient": f"{{t}}@{name}.test", "status": status, "dsn": dsn, "attempts": attempts, **more}, Outcome
    )
    return Destination(name=name, address=f"{{t}}@{name}.test", outcomes=(outcome,))


def _local(name: str, status: str, dsn: str, *, known: bool = True, **more: str | int) -> Destination:
    """Return a destination of local(8): a user or alias with the token as its extension."""
    attempts = ROUNDS if status == "deferred" else 1
    address = f"{name}+{{t}}@lab.test"
    outcome = msgspec.convert(
        {"recipient": address, "status": status, "dsn": dsn, "attempts": attempts, "relay": "local", **more}, Outcome
    )
    return Destination(name=f"local {name}", address=address, outcomes=(outcome,), known=known)


def _to_ok(before: str, address: str) -> Outcome:
    return Outcome(
        recipient=f"{before}-{{t}}@ok.test",
        orig_recipient=address,
        status="sent",
        dsn="2.0.0",
        relay="127.0.0.1[127.0.0.1]:",
        peer=True,
    )


_NET = "127.0.0.1[127.0.0.1]:"

OK: Final = _one("ok", "sent", "2.0.0", relay=_NET, reply="250 2.0.0 Ok: taken", peer=True)
SOFT: Final = _one("soft", "deferred", "4.3.0", relay=_NET, reply="(in reply to RCPT TO command)")
LATER: Final = _one("later", "sent", "2.0.0", relay=_NET, attempts=2, peer=True)
HARD: Final = _one("hard", "bounced", "5.3.0", relay=_NET, reply="(in reply to RCPT TO command)")
UNTAKEN: Final = _one("tar", "queued", "")
"""A host that never greets: the mail is under way when the log ends."""
ONE_ALIAS: Final = Destination(
    name="alias", address="one-{t}@alias.test", outcomes=(_to_ok("c", "one-{t}@alias.test"),)
)

DESTINATIONS: Final = (
    OK,
    SOFT,
    LATER,
    HARD,
    _one("data", "bounced", "5.3.0", relay=_NET, reply="(in reply to end of DATA command)"),
    _one("drop", "deferred", "4.4.2"),
    _one("refused", "deferred", "4.4.1"),
    _one("trick", "sent", "2.0.0", relay=_NET, reply=FAKED_REPLY, peer=True),
    _one("fake", "bounced", "5.7.1", relay=_NET, reply=FAKED_REFUSAL),
    _one("lmtp", "sent", "2.1.5", relay=_NET, peer=True),
    _one("full", "bounced", "5.2.2", relay=_NET, reply="Mailbox full"),
    _one("pipeok", "sent", "2.0.0", relay="labpipe", reply="delivered via labpipe service"),
    _one("pipetemp", "deferred", "4.3.0", relay="labtemp", reply="try (later), status=sent"),
    _one("pipeperm", "bounced", "5.3.0", relay="labperm", reply="no such service"),
    _one("discard", "discarded", "2.0.0", relay="none", reply="silently"),
    replace(_one("error", "bounced", "5.1.2", relay="none", reply="lab: this domain is closed"), known=False),
    replace(_one("retry", "deferred", "4.3.0", relay="none", reply="lab: not today"), known=False),
    _one("vmail", "sent", "2.0.0", relay="virtual", reply="delivered to maildir"),
    _local("nobody", "sent", "2.0.0", reply="delivered to maildir"),
    _local("run", "sent", "2.0.0", reply="delivered to command: "),
    _local("runtemp", "deferred", "4.3.0", reply="temporary failure"),
    _local("runperm", "bounced", "5.3.0"),
    _local("missing", "bounced", "5.1.1", reply='unknown user: "missing', known=False),
    _local("away", "sent", "2.0.0", reply="forwarded as ", onward="onward+{t}@ok.test"),
    ONE_ALIAS,
    Destination(
        name="alias to many",
        address="many-{t}@alias.test",
        outcomes=(
            _to_ok("a", "many-{t}@alias.test"),
            Outcome(
                recipient="b-{t}@hard.test", orig_recipient="many-{t}@alias.test", status="bounced", dsn="5.3.0"
            ),
            Outcome(
                recipient="d-{t}@discard.test", orig_recipient="many-{t}@alias.test", status="discarded", dsn="2.0.0"
            ),
        ),
    ),
    # Odd addresses, all of them taken by the peer.
    Destination(
        name="quoted",
        address='"a b{t}"@ok.test',
        outcomes=(Outcome(recipient='"a b{t}"@ok.test', status="sent", dsn="2.0.0", peer=True),),
    ),
    Destination(
        name="signs",
        address="A+{t}=b#c@Ok.test",
        outcomes=(Outcome(recipient="A+{t}=b#c@Ok.test", status="sent", dsn="2.0.0", peer=True),),
    ),
)  # fmt: skip
