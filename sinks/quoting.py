"""Addresses that a text quotes: as they are, as VERP writes them, and as an address on the web does.

What a server says is anybody's: each pattern begins where its run of characters does, so that a long text is looked
through once.
"""

import re
from collections.abc import Callable
from typing import Final

import msgspec

_LONGEST: Final = 320
"""Characters of a local part, or of a domain: an address has fewer."""

_ATEXT: Final = r"\w.!#$%&'*+/?^`{|}~-"
"""Characters of local parts, but for ``=``."""
_DOMAIN: Final = r"(?P<domain>[\w-]+(?:\.[\w-]+)*|\[[^\]\s]{0,64}\])"

ALONE: Final = r"(?<![\w.+-])(?<!\w['&])"
"""Where an address may begin: behind ``'``, ``=``, ``/``, ``{`` or ``|``, too, but ``o'neil`` is not ``neil``."""
_TAGGED: Final = r"(?<![\w.])"
"""Where it may within a VERP address: ``bounce+anna``, ``bounce-anna``."""


class _Form(msgspec.Struct, frozen=True):
    """A way to write an address."""

    separator: str
    """Stands for the ``@``."""
    local: re.Pattern[str]
    """All that may be the local part, before the separator and a domain."""
    begins: re.Pattern[str]
    """Where in that it may begin."""


def _form(separator: str, local: str, begins: str) -> _Form:
    before = re.compile(rf"(?P<local>{local})(?={re.escape(separator)}{_DOMAIN})")
    return _Form(separator, before, re.compile(rf"{begins}(?=.)", re.DOTALL))


_FORMS: Final = (
    _form("@", rf"\"(?:[^\"\\]|\\.){{0,64}}\"|(?<![={_ATEXT}])[={_ATEXT}]+", ALONE),
    _form("=", rf"(?<![{_ATEXT}])[{_ATEXT}]+", _TAGGED),
    _form("%40", r"(?<![\w.+~-])[\w.+~-]+", ALONE),
)


def with_others(text: str, stands_for: Callable[[str], str | None]) -> str:
    """Return *text* with what *stands_for* an address wherever it quotes one; None leaves it.

    Of several readings (``user=anna@example.org``, ``anna@example.org``) the longest that something stands for counts.
    """
    for form in _FORMS:
        if form.separator not in text:
            continue
        parts, done = [], 0
        for found in form.local.finditer(text):
            local, domain = found["local"], found["domain"]
            if len(domain) > _LONGEST:
                continue
            for begin in form.begins.finditer(local, max(0, len(local) - _LONGEST)):
                if found.start() + begin.start() < done:  # a domain, with another one behind it
                    continue
                new = stands_for(f"{local[begin.start() :]}@{domain}")
                if new is not None:
                    parts += [text[done : found.start() + begin.start()], _in(form.separator, new)]
                    done = found.end("domain")
                    break
        text = "".join([*parts, text[done:]])
    return text


def forms_of(address: str) -> list[str]:
    """Return how a text may write *address*."""
    return [_in(form.separator, address) for form in _FORMS]


def without(text: str, address: str, new: str) -> str:
    """Return *text* with *new* wherever it quotes *address*, of whatever characters, but not within a longer one."""
    for form in _FORMS:
        quoted = _in(form.separator, address)
        if quoted.lower() in text.lower():
            before = _TAGGED if form.separator == "=" else ALONE
            pattern = rf"{before}{re.escape(quoted)}(?![\w-]|\.\w)"
            made = _in(form.separator, new)
            text = re.sub(pattern, lambda _, made=made: made, text, flags=re.IGNORECASE)  # type: ignore[misc]
    return text


def _in(separator: str, address: str) -> str:
    return separator.join(address.rsplit("@", 1))
