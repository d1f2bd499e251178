"""Why mail was refused, bounced or deferred: the words of a thousand servers as the few reasons of a postmaster.

The order of evidence: the words of the reply, in the order of `PHRASES`; then the enhanced status code (RFC 3463 and
its registry); then the SMTP code. What none of them tells is ``other``.
"""

import re
from functools import lru_cache
from typing import Final

from streams.parsing.reason_tables import BY_CODE, BY_STATUS, PHRASES

_names = re.compile(r"<[^<>]*+>|\[[^\]]*+\]|\b(?:name=[^ ]*+|[^ \[@<]*+(?:\[[^\]]*+\](?::\d++)?|@[\w.-]*+))").sub
"""Addresses and hosts: senders choose them, so that their words are no evidence."""
_STRING: Final = r'"[^"\\]*+(?:\\.[^"\\]*+)*"'
_quoted = re.compile(
    r'(?<=unknown user: )".*'  # all of it: the name of a user may hold quotes
    rf'|<[^<>"]*+(?:{_STRING}[^<>"]*+)+>|{_STRING}@[\w.-]*+|"[^" ]*+"',
    re.DOTALL,
).sub
"""Names too: addresses with quoted local parts, and quoted words."""
_codes = re.compile(r"\b[245]\d\d(?:-(?:\d\.\d{1,3}\.\d{1,3} )?| \d\.\d{1,3}\.\d{1,3} )").sub
"""What each line of a reply begins with: where Postfix joins the lines, it stands amid their sentences."""
_words = re.compile(r"[a-z0-9]+").findall
_KEY: Final = 3
_LONGEST: Final = 400
"""Characters of a reply that are looked at."""


def _by_key() -> dict[str, list[tuple[int, str]]]:
    """Return the phrases by the first letters of their first word: few have to be looked for in a reply."""
    index: dict[str, list[tuple[int, str]]] = {}
    for rank, (_, phrases) in enumerate(PHRASES):
        for phrase in phrases:
            index.setdefault(phrase[:_KEY].strip(), []).append((rank, f" {phrase}"))
    return index


_PHRASES_BY_KEY: Final = _by_key()


@lru_cache(maxsize=8192)
def reason_of(reply: str, dsn: str | None, code: int | None) -> str:
    """Return why mail was not delivered or not taken: one of `REASONS`.

    *reply* is what was said, *dsn* the enhanced status code (``5.1.1``), *code* the SMTP code (550).
    """
    said = reply[:_LONGEST]
    if '"' in said:
        said = _quoted(" ", said)
    if code and f"{code}-" in said:
        said = _codes(" ", said)
    words = _words(_names(" ", said).lower())
    text = f" {' '.join(words)} "
    best = len(PHRASES)
    for key in {word[:_KEY] for word in words} & _PHRASES_BY_KEY.keys():
        for rank, phrase in _PHRASES_BY_KEY[key]:
            if rank >= best:
                break
            if phrase in text:
                best = rank
                break
    if best < len(PHRASES):
        reason = PHRASES[best][0]
        if reason == "policy" and dsn == "5.4.1" and "recipient address rejected" in text:
            return "unknown-user"  # Exchange Online says no more of a recipient that it does not know
    else:
        reason = (BY_STATUS.get(dsn[2:]) if dsn else None) or BY_CODE.get(code or 0, "other")
    if reason == "local-error" and reply.startswith("host "):
        # The next host's error, not ours. Behind 5.7 it is about a permission that we lack.
        return "policy" if dsn is not None and dsn.startswith("5.7.") else "unavailable"
    return reason
