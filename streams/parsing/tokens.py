"""The pieces that many formats share: addresses, clients, replies, queue ids. Nothing here can be made slow.

Possessive quantifiers stand behind single characters and classes only: behind groups they are broken before Python
3.11.5 (a match is lost), which some distributions have. Groups are written so that there is one way to match them.
"""

import hashlib
import re
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from typing import Final

from schemas.keys import QUEUE_ID

MAX_ADDRESS: Final = 256
MAX_TEXT: Final = 2000
MAX_ID: Final = 512


def _address(ends: str, unquoted: str, *, behind: str) -> str:
    """Return the pattern of an address that *ends* end, before what *behind* says.

    Postfix quotes a local part as a whole, from 3.5 on and unless told otherwise: then it may hold anything. One
    without quotes, before which *unquoted* stands, may hold a ``>`` or one quote too.
    """
    quoted = rf'"[^"\\]*+(?:\\.[^"\\]*+)*"(?:@[^{ends}]*+)?(?=>)'
    plain = rf"[^{ends}]*+(?:>(?!{behind})[^{ends}]*+)*"
    return rf"({quoted}|(?!{quoted}){unquoted}{plain})"


ADDRESS: Final = _address(">", "", behind=r", (?:orig_to|relay|size|status)=| orig_id=|$")
"""What stands between ``<`` and ``>``, where a record goes on or ends behind it."""
CLOSED_ADDRESS: Final = _address("<>", '(?!")', behind="[ ,:>]|$")
"""The same in refusals, without ``<``: a fake that is left open would run over the fields behind it."""

CLIENT: Final = r"([^\[\]]*+)\[([^\]]*+)\](?::(\d{1,5}))?"
"""``name[address]`` or ``name[address]:port``."""

_leading_id = re.compile(rf"{QUEUE_ID}\b").match
CODES: Final = {f"{code}{after}": code for code in range(200, 600) for after in " -"}
"""SMTP codes by the first four characters of a reply."""
_reply_code = re.compile(
    r"(?:delivery temporarily suspended: )?(?:TLS is required, but |Protocol error: )?"
    r"(?:host [^ ]++ (?:said|refused to (?:talk to me|start TLS)): |from MTA\([^)]*+\): "
    r"|[^:;]{0,80}+; server [^ ]++ said: )?"
    r"([2-5]\d\d)[ -]"
).match
_response = re.compile(r"(?:(\d{3})[ -])?(?:([245]\.\d{1,3}\.\d{1,3}) )?").match


def address(text: str) -> str:
    """Return an address, cut where it is longer than any real one."""
    return text if len(text) <= MAX_ADDRESS else _cut(text, MAX_ADDRESS)


def _cut(text: str, most: int) -> str:
    """Cut *text*, with a digest so that two stay two: an index takes no value of any length."""
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()
    return f"{text[: most - 9]}…{digest}"


def client(name: str, ip: str, port: str | None) -> dict[str, str | int]:
    """Return the client's fields; those that Postfix calls unknown are left out, but for the name."""
    fields: dict[str, str | int] = {}
    if name:
        fields["client_name"] = name[:MAX_ADDRESS]
    if ip and ip != "unknown":
        fields["client_address"] = ip[:MAX_ADDRESS]
    if port:
        fields["client_port"] = int(port)
    return fields


def bare_id(value: str) -> str:
    """Return a message id without the ``<>`` around it, and without what some programs write behind it."""
    if value.startswith("<"):
        name, behind, _ = value.partition("> ")
        value = name[1:] if behind else value[1:-1] if value.endswith(">") else value
    return value if len(value) <= MAX_ID else _cut(value, MAX_ID)


def decoded(header: str) -> str:
    """Return a header's value with its encoded words (RFC 2047) read; as it stands where they can't be."""
    if "=?" not in header:
        return header
    header = header[:MAX_TEXT]  # Postfix logs 200 characters; the time that this takes grows faster than its length
    try:
        read = str(make_header(decode_header(header)))
    except (ValueError, LookupError, HeaderParseError):  # an unknown character set, a cut word
        return header
    # A sender can encode what no UTF-8 has and no PostgreSQL takes.
    return read.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def response(text: str) -> tuple[int | None, str | None]:
    """Return the SMTP code and the enhanced status code that *text* begins with."""
    found = _response(text)
    if found is None:
        return None, None
    return int(found[1]) if found[1] else None, found[2]


def reply_code(reply: str) -> int | None:
    """Return the SMTP code that the next host gave, or None: at the beginning, or behind what the agent says of it."""
    code = CODES.get(reply[:4])
    if code is None and (found := _reply_code(reply)) is not None:
        code = int(found[1])
    return code


def queued_as(reply: str) -> str | None:
    """Return the queue id that the next host says it gave: its claim, to be checked."""
    _, said, after = reply.rpartition("queued as ")
    found = _leading_id(after) if said else None
    return found[0] if found else None
