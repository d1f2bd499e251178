"""Which programs' lines are Postfix's, by their syslog identifier.

Lines of other programs are taken too where their text begins with a queue id: filters and policy servers say things
of a message that way. The readers see to that; here are the names.
"""

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Final

DAEMONS: Final = frozenset(
    (
        "anvil",
        "bounce",
        "cleanup",
        "defer",
        "discard",
        "dnsblog",
        "error",
        "flush",
        "lmtp",
        "local",
        "local-service",
        "master",
        "nqmgr",
        "oqmgr",
        "pickup",
        "pipe",
        "postalias",
        "postcat",
        "postconf",
        "postdrop",
        "postfix",
        "postfix-script",
        "postkick",
        "postlock",
        "postlog",
        "postlogd",
        "postmap",
        "postmulti",
        "postqueue",
        "postscreen",
        "postsuper",
        "proxymap",
        "proxywrite",
        "qmgr",
        "qmqpd",
        "relay",
        "retry",
        "scache",
        "sendmail",
        "showq",
        "smtp",
        "smtpd",
        "spawn",
        "tlsmgr",
        "tlsproxy",
        "trace",
        "trivial-rewrite",
        "verify",
        "virtual",
    )
)
"""Programs of Postfix that log (``libexec`` and ``sbin``), and the service names of its ``master.cf`` that stand for
them."""

_OTHERS: Final = ("cyrus/",)
"""What programs of other software are called: Cyrus IMAP has an ``lmtp`` and a ``master`` too."""


class Relevance:
    """Tells Postfix's programs from others."""

    def __init__(self, patterns: Iterable[str]) -> None:
        """Take programs that match one of *patterns*, with ``*``, ``?`` and ``[…]``."""
        self._patterns = tuple(patterns)

    def __call__(self, program: str) -> bool:
        """Tell whether *program* is taken: it matches, or is a Postfix daemon of another instance (``out/smtpd``)."""
        instance, slash, daemon = program.rpartition("/")
        if slash and instance and daemon in DAEMONS and not program.startswith(_OTHERS):
            return True
        return any(fnmatchcase(program, pattern) for pattern in self._patterns)
