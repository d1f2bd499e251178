"""postscreen (``src/postscreen/``): its refusals; its tests decide over connections, not messages."""

from streams.parsing.formats import Family, quiet
from streams.parsing.smtpd import refused

_TESTS = quiet(
    "postscreen", "CONNECT ", "PASS ", "ALLOWLISTED ", "WHITELISTED ", "ALLOWLIST VETO", "WHITELIST VETO",
    "DENYLISTED ", "BLACKLISTED ", "PREGREET ", "DNSBL ", "HANGUP ", "COMMAND ", "BARE NEWLINE ", "NON-SMTP COMMAND ",
    "DISCONNECT ", "cache ", "close database", "dnsblog", "getpeername", "psc_", "connect to ", "reject: connect ",
    "entering ", "leaving ", "database ", "timeout ",
)  # fmt: skip

POSTSCREEN = Family(noqueue=(refused("postscreen.noqueue", "reject"), *_TESTS), bare=_TESTS)
