"""How an address is asked for: whole, by its domain, or with ``*``."""

from typing import Final, Literal

import msgspec

NULL_SENDER: Final = "<>"

_FOLDED: Final = {ord(letter): letter.lower() for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}  # they are COLLATE "C"


class Asked(msgspec.Struct, frozen=True):
    """What an address must be."""

    kind: Literal["whole", "domain", "pattern"]
    values: tuple[str, ...]
    """Spellings of which one must fit; for a pattern, one LIKE pattern."""


def spellings(address: str) -> list[str]:
    """Return the ways in which a log may spell *address*: as given, its domain in lower case, all in lower case.

    Domains don't care about case, and hardly any mail system does in the part before the ``@``.
    """
    local, at, domain = address.rpartition("@")
    return list(dict.fromkeys([address, local + at + folded(domain), folded(address), address.lower()]))


def asked(text: str) -> Asked:
    """Return what *text* asks for: ``a@b.org``, ``@b.org``, ``*@*.b.org``, ``<>`` for the null sender."""
    address = text.strip()
    if address == NULL_SENDER:
        return Asked("whole", ("",))
    if address.startswith("<") and address.endswith(">"):
        address = address[1:-1]
    if "*" in address:
        return Asked("pattern", (like(address),))
    if address.startswith("@"):
        return Asked("domain", (folded(address[1:]),))
    return Asked("whole", tuple(spellings(address)))


def folded(text: str) -> str:
    """Return *text* with A to Z in lower case and all else as it is: as PostgreSQL's lower() of the columns does."""
    return text.translate(_FOLDED)


def like(pattern: str) -> str:
    """Return *pattern*, whose ``*`` stands for anything, as a LIKE pattern in lower case."""
    escaped = folded(pattern).replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return escaped.replace("*", "%")
