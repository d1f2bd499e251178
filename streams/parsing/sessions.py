"""Which encryption a connection got: one line a connection, without a queue id (``src/tls/tls_misc.c``).

Before Postfix 2.5 the line had no word on trust, and the client's no address. A server that was asked for another
name than its own logs that name behind the client's.
"""

import re
from typing import Final

from streams.parsing.facts import Parsed, Session
from streams.parsing.formats import Line, fact
from streams.parsing.tokens import CLIENT, MAX_ADDRESS

_PEER: Final = r"(?:([^\[\] ]*+)\[([^\] ]*+)\](?::(\d{1,5}))?|([^\[\] :]++))"
_SESSION: Final = (
    rf"TLS connection (established|reused) (from|to) {_PEER}(?: to [^ :]++)?: "
    r"([^ ]{1,32}) with cipher ([^ ]{1,100})"
)


def _session(found: re.Match[str], _: Line) -> Parsed:
    how, direction, name, address, port, only_name, protocol, cipher = found.groups()
    return Parsed(
        what="tls.session",
        session=Session(
            direction=direction,
            trust=found.string.partition("TLS")[0].rstrip().lower(),
            reused=how == "reused",
            peer_name=(name or only_name or "")[:MAX_ADDRESS] or None,
            peer_address=address[:MAX_ADDRESS] if address and address != "unknown" else None,
            peer_port=int(port) if port else None,
            protocol=protocol,
            cipher=cipher,
        ),
    )


SESSIONS: Final = tuple(
    fact(
        "tls.session",
        trust,
        _SESSION,
        _session,
        "[Anonymous|Untrusted|Trusted|Verified] TLS connection established|reused from|to PEER[ to NAME]:"
        " PROTOCOL with cipher CIPHER …",
        "a row of `tls_sessions`: the encryption of the mail that the process took or gave there at that time",
    )
    for trust in ("Anonymous ", "Untrusted ", "Trusted ", "Verified ", "")
)


def _ended(found: re.Match[str], _: Line) -> Parsed:
    name, address, port = found.groups()
    return Parsed(
        what="tls.ended",
        session=Session(
            direction="from",
            trust="",
            ended=True,
            peer_name=name[:MAX_ADDRESS] or None,
            peer_address=address[:MAX_ADDRESS] if address and address != "unknown" else None,
            peer_port=int(port) if port else None,
        ),
    )


SESSION_ENDED: Final = fact(
    "tls.ended",
    "disconnect from ",
    rf"{CLIENT} (?:[^ ]++ )*?starttls=[1-9]",
    _ended,
    "disconnect from CLIENT … starttls=1 …",
    "a row of `tls_sessions`: what the process takes from then on did not come by that connection",
)
"""The same client may come back to the same process without encryption (``src/smtpd/smtpd.c``, Postfix 3.0)."""
