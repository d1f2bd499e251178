"""Which daemon has which formats, and the way from a line to its facts."""

import re
from functools import lru_cache
from typing import Final, NamedTuple

from schemas.keys import QUEUE_ID
from streams.parsing.arrival import PICKUP, QMQPD
from streams.parsing.bounce import BOUNCE
from streams.parsing.cleanup import CLEANUP, SUBJECT
from streams.parsing.delivery import AGENTS
from streams.parsing.everywhere import EVERYWHERE
from streams.parsing.facts import Parsed
from streams.parsing.formats import Family, Format, Line, split_program
from streams.parsing.postscreen import POSTSCREEN
from streams.parsing.postsuper import POSTSUPER
from streams.parsing.qmgr import QMGR
from streams.parsing.smtpd import SMTPD

FAMILIES: Final[dict[str, Family]] = {
    **AGENTS,
    "bounce": BOUNCE,
    "cleanup": CLEANUP,
    "defer": BOUNCE,
    "nqmgr": QMGR,
    "oqmgr": QMGR,
    "pickup": PICKUP,
    "postscreen": POSTSCREEN,
    "postsuper": POSTSUPER,
    "qmgr": QMGR,
    "qmqpd": QMQPD,
    "smtpd": SMTPD,
    "trace": BOUNCE,
}
"""Daemons that log what becomes of messages."""

QUIET: Final[dict[str, str]] = {
    "anvil": "statistics",
    "dnsblog": "postscreen",
    "flush": "housekeeping",
    "fsstone": "housekeeping",
    "local-service": "housekeeping",
    "mailq": "housekeeping",
    "master": "housekeeping",
    "nbdb_reindexd": "housekeeping",
    "newaliases": "housekeeping",
    "post-install": "housekeeping",
    "postalias": "housekeeping",
    "postcat": "housekeeping",
    "postconf": "housekeeping",
    "postdrop": "housekeeping",
    "postfix": "housekeeping",
    "postfix-non-bdb-script": "housekeeping",
    "postfix-script": "housekeeping",
    "postfix-tls-script": "housekeeping",
    "postkick": "housekeeping",
    "postlock": "housekeeping",
    "postlog": "housekeeping",
    "postlogd": "housekeeping",
    "postmap": "housekeeping",
    "postmulti": "housekeeping",
    "postmulti-script": "housekeeping",
    "postqueue": "housekeeping",
    "posttls-finger": "tls",
    "proxymap": "housekeeping",
    "proxywrite": "housekeeping",
    "qmqp-sink": "housekeeping",
    "qmqp-source": "housekeeping",
    "rewrite": "housekeeping",
    "scache": "statistics",
    "sendmail": "housekeeping",
    "showq": "housekeeping",
    "smtp-sink": "housekeeping",
    "smtp-source": "housekeeping",
    "spawn": "housekeeping",
    "tlsmgr": "tls",
    "tlsproxy": "tls",
    "trivial-rewrite": "housekeeping",
    "verify": "housekeeping",
}
"""Daemons and commands that log nothing about any message's fate."""

FOREIGN: Final = frozenset({
    "policy-spf", "policyd-spf", "policyd-weight", "policyd", "postgrey", "postfwd", "postfwd2", "postsrsd", "greyfix",
    "greylist", "sqlgrey", "pfixtools", "policyd-rate", "ratelimit-policyd", "tumgreyspf", "spamd", "mta-sts-daemon",
    "policy", "postforward", "gld", "cluebringer", "pyspf", "rspamd", "amavis", "opendkim", "opendmarc", "sid-filter",
})  # fmt: skip
"""Programs that others wrote and that log under Postfix's name (``postfix/policy-spf``)."""

ByLetter = dict[str, tuple[Format, ...]]
"""The formats that a text may have, by its first letter; under ``""``, those that any other text may have."""


class _Known(NamedTuple):
    """A family's formats, ready to be looked up."""

    queued: ByLetter
    noqueue: ByLetter
    bare: ByLetter


class _Program(NamedTuple):
    """What a syslog identifier says."""

    instance: str
    service: str
    daemon: str
    known: _Known | None
    """None for a daemon that logs nothing of messages."""


def _by_letter(formats: tuple[Format, ...]) -> ByLetter:
    letters = {entry.begins[:1] for entry in formats} | {""}
    return {letter: tuple(f for f in formats if f.begins[:1] in {letter, ""}) for letter in letters}


def _without_subjects(formats: tuple[Format, ...]) -> tuple[Format, ...]:
    return tuple(entry for entry in formats if entry.what != SUBJECT)


_BY_LETTER: Final = {
    daemon: _Known(_by_letter(family.queued), _by_letter(family.noqueue), _by_letter(family.bare))
    for daemon, family in FAMILIES.items()
}
_WITHOUT_SUBJECTS: Final = {
    daemon: known._replace(queued=_by_letter(_without_subjects(FAMILIES[daemon].queued)))
    for daemon, known in _BY_LETTER.items()
}
_EVERYWHERE: Final = _by_letter(EVERYWHERE)

_LONGEST: Final = 16_384
"""Characters of a line that are read: Postfix writes 2,000 bytes to syslog, and few more to a file."""

_head = re.compile(rf"(?:(warning|error|fatal|panic): )?(?:(NOQUEUE|{QUEUE_ID}): )?(.*+)", re.DOTALL).match


@lru_cache(maxsize=1024)
def _program(name: str, subjects: bool) -> _Program:  # noqa: FBT001 - a cache takes no keywords cheaply
    instance, service, daemon = split_program(name)
    return _Program(instance, service, daemon, (_BY_LETTER if subjects else _WITHOUT_SUBJECTS).get(daemon))


def parse(program: str, text: str, pid: int = 0, *, subjects: bool = True) -> Parsed:
    """Return what a line says: *program* is its syslog identifier, *text* what follows the frame.

    Without *subjects*, a line that tells a subject is what any other line of a header check is: ``content-check``.
    Never raises. A line of a daemon that is not Postfix's is ignored as ``foreign``; one that no format knows comes
    back with an empty `Parsed.what`.
    """
    instance, service, daemon, known = _program(program, subjects)
    if known is None:
        return _without_family(instance, daemon, text)
    head = _head(text[:_LONGEST])
    assert head is not None  # every part of it is optional
    severity, queue_id, rest = head.groups()
    formats = known.bare if queue_id is None else known.noqueue if queue_id == "NOQUEUE" else known.queued
    line = Line(instance, service, pid, severity, queue_id, rest)
    found = _first(formats.get(rest[:1]) or formats[""], line)
    if found is not None:
        return found
    if severity is not None:
        return Parsed(what="problem", ignored=severity)
    if not rest or (rest[-1] == ":" and " " not in rest):
        return Parsed(what="cut", ignored="cut")
    return _first(_EVERYWHERE.get(rest[:1]) or _EVERYWHERE[""], line) or Parsed(what="")


def _first(formats: tuple[Format, ...], line: Line) -> Parsed | None:
    text = line.text
    for what, begins, pattern, make, ignored, _, _ in formats:
        if not text.startswith(begins):
            continue
        if ignored is not None and line.severity is not None:
            continue  # counted by its severity
        if pattern is None or make is None:
            return Parsed(what=what, queue_id=None if line.queue_id == "NOQUEUE" else line.queue_id, ignored=ignored)
        match = pattern(text)
        if match is not None:
            parsed = make(match, line)
            if parsed.what:
                return parsed
    return None


def _without_family(instance: str, daemon: str, text: str) -> Parsed:
    ignored = QUIET.get(daemon)
    if ignored is not None:
        return Parsed(what=daemon, ignored=ignored)
    postfix = instance.startswith("postfix")
    if daemon in FOREIGN or (daemon and not postfix):
        return Parsed(what="foreign", ignored="foreign")
    head = _head(text)
    if head is not None and head[1] is not None and instance:
        return Parsed(what="problem", ignored=head[1])
    return Parsed(what="")
