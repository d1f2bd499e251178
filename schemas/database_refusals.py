"""Why PostgreSQL, or libpq on the way to it, did not let a client in: for good, or until later."""

from typing import Final

_CUT: Final = ("SSL SYSCALL error", "SSL connection has been closed", "unexpected eof", "Connection reset by peer")
"""The server went away amid the handshake, as one that restarts does."""

_HINTS: Final = (
    ("password authentication failed", "check database.user and database.password_file"),
    ("no password supplied", "give database.password_file"),
    ("no pg_hba.conf entry", "allow this client in the server's pg_hba.conf; is TLS asked for there, and off here?"),
    ("private key file", "check database.sslkey: not encrypted, and its user's alone (mode 0600)"),
    ("certificate", "check database.sslrootcert, database.host and the server's certificate, or your own"),
    ("does not exist", "create the database and the role, or check database.dbname and database.user"),
    ("authentication failed", "check database.user and the server's pg_hba.conf"),
    ("SSL", "check database.sslmode and the server's TLS"),
)
"""What the reason holds, and what to do then; the first counts."""


def what_to_do(reason: str) -> str | None:
    """Return what to do where a connection failed for a *reason* that stays; None where it may help to wait."""
    if any(sign in reason for sign in _CUT):
        return None
    return next((hint for sign, hint in _HINTS if sign in reason), None)
