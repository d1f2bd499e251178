"""postscreen (``src/postscreen/``): its refusals; its tests decide over connections, not messages."""

from streams.parsing.formats import Family, quiet, quiet_pattern
from streams.parsing.smtpd import refused

_TESTS = (
    *quiet(
        "postscreen", "CONNECT ", "PASS ", "ALLOWLISTED ", "WHITELISTED ", "ALLOWLIST VETO", "WHITELIST VETO",
        "DENYLISTED ", "BLACKLISTED ", "PREGREET ", "DNSBL ", "HANGUP ", "COMMAND ", "BARE NEWLINE ",
        "NON-SMTP COMMAND ", "DISCONNECT", "DATA without ", "BDAT without ", "cache ", "close database", "dnsblog",
        "getpeername", "psc_", "reject: connect ", "entering ", "leaving ", "timeout ",
    ),
    quiet_pattern("postscreen", r"\[[0-9A-Fa-f.:]++\](?::?\d++)?[: ]", "[ADDRESS]:PORT: …"),
)  # fmt: skip

POSTSCREEN = Family("postscreen/postscreen*.c", noqueue=(refused("postscreen.noqueue", "reject"), *_TESTS), bare=_TESTS)
