"""A mail log of any length in which everything occurs that a producer may trip over, the same for the same numbers."""

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, tzinfo
from typing import Final, NamedTuple

from schemas.keys import LONG_ID_DIGITS

START: Final = int(datetime(2026, 11, 20, 6, tzinfo=UTC).timestamp())
PER_SECOND: Final = 50
TOGETHER: Final = 10
"""Messages whose lines are mixed."""
OVERLONG: Final = 70_000


class Logged(NamedTuple):
    """A line before it gets a frame."""

    at: int
    """Seconds since 1970."""
    host: str
    program: str
    pid: int
    text: str


def logged(
    first: int,
    last: int,
    *,
    hosts: tuple[str, ...] = ("mx1", "mx2.example.org"),
    start: int = START,
    pace: float = TOGETHER / PER_SECOND,
    long_ids: bool = False,
) -> Iterator[Logged]:
    """Give the lines of messages *first* to *last* (left out), those of a few messages mixed as a server mixes them.

    A message has two recipients; one of them is deferred first. Between the messages there are rejections that are
    alike, disconnects that are alike, lines of another program, and lines that stand for several. *pace* is the
    seconds from one group of messages to the next.
    """
    for begin in range(first, last, TOGETHER):
        numbers = range(begin, min(begin + TOGETHER, last))
        at, host = int(start + begin // TOGETHER * pace), hosts[begin // TOGETHER % len(hosts)]
        names = [long_id(at, number) if long_ids else queue_id(number) for number in numbers]
        for texts in zip(*map(_message, numbers, names), strict=True):
            for number, (daemon, text) in zip(numbers, texts, strict=True):
                yield Logged(at, host, f"postfix/{daemon}", 100 + number % 7, text)
        rejected = f"from=<y{begin // PER_SECOND}@y.test> to=<x@x.test> proto=SMTP helo=<z>"
        reply = "NOQUEUE: reject: RCPT from unknown[192.0.2.66]: 554 5.7.1 <x@x.test>: Relay access denied; "
        yield Logged(at, host, "postfix/smtpd", 200, reply + rejected)
        yield Logged(at, host, "postfix/smtpd", 200, "disconnect from unknown[192.0.2.66]")
        yield Logged(at, host, "sshd", 9, f"Accepted publickey for a from 192.0.2.1 port {begin}")


def traditional(at: int, zone: tzinfo = UTC) -> str:
    """Return the time stamp of a traditional log."""
    moment = datetime.fromtimestamp(at, zone)
    return f"{moment:%b} {moment.day:2} {moment:%H:%M:%S}"


def framed(lines: Iterable[Logged], stamped: Callable[[int], str] = traditional) -> bytes:
    """Return *lines* as a log, with some that stand for several and some that are too long."""
    pieces = []
    for count, (at, host, program, pid, text) in enumerate(lines, 1):
        stamp = f"{stamped(at)} {host} "
        pieces.append(f"{stamp}{program}[{pid}]: {text}\n")
        if "disconnect" in text and count % 3 == 0:
            pieces.append(f"{stamp}last message repeated 2 times\n")
        if "disconnect" in text and count % 5 == 0:
            pieces.append(f"{stamp}{program}[{pid}]: message repeated 3 times: [ {text}]\n")
        if count % 5000 == 0:
            pieces.append("x" * OVERLONG + "\n\n")
    return "".join(pieces).encode()


def log(first: int, last: int) -> bytes:
    """Return the log of messages *first* to *last* (left out)."""
    return framed(logged(first, last))


def queue_id(number: int) -> str:
    """Return a message's queue id, a short one."""
    return f"{number:07X}F1A"


def long_id(at: int, number: int) -> str:
    """Return the long queue id of a message that arrived in the second *at*."""
    return f"{_digits(at, 52, 6)}{_digits(number % 1_000_000, 52, 4)}z{_digits(number, 51, 4)}"


def _digits(value: int, base: int, count: int) -> str:
    text = ""
    for _ in range(count):
        value, digit = divmod(value, base)
        text = LONG_ID_DIGITS[digit] + text
    return text


def _message(number: int, name: str) -> list[tuple[str, str]]:
    to = f"{name}: to=<{{}}@x.test>, relay=r.test[192.0.2.1]:25, delay={{}}, delays=0/0/0/1, dsn={{}}, status={{}}"
    return [
        ("smtpd", f"{name}: client=c.test[192.0.2.9]"),
        ("cleanup", f"{name}: message-id=<{number}@s.test>"),
        ("qmgr", f"{name}: from=<s{number % 100}@s.test>, size={500 + number}, nrcpt=2 (queue active)"),
        ("smtp", to.format("b", "1", "2.0.0", f"sent (250 2.0.0 ok {number})")),
        ("smtp", to.format("c", "1", "4.3.0", "deferred (host r.test[192.0.2.1] said: 450 busy)")),
        ("smtp", to.format("c", "2", "2.0.0", f"sent (250 2.0.0 ok {number} later)")),
        ("qmgr", f"{name}: removed"),
    ]
