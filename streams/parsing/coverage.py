"""Writes ``docs/coverage.md``: which lines of which daemon are understood, and what becomes of them."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from streams.parsing.dispatch import FAMILIES, FOREIGN, QUIET
from streams.parsing.everywhere import EVERYWHERE
from streams.parsing.formats import Family, Format
from streams.parsing.reason_tables import REASONS

PAGE: Final = Path(__file__).parents[2] / "docs" / "coverage.md"

CLASSES: Final[dict[str, str]] = {
    "access-action": "an access table's action after which the mail goes on (warn, filter, permit, …)",
    "agent": "what a delivery agent says besides its records",
    "attempt": "details of an attempt whose record follows: TLS, other servers tried, replies",
    "bounce": "about notifications that were not sent",
    "bounce-failed": "a notification could not be made; the recipients' records stand",
    "cleanup": "about tables, milters and limits of cleanup",
    "connection": "a connection, its end, its statistics, a command out of place",
    "content-check": "a header, body or milter check after which the mail goes on",
    "cut": "a line that was cut before its facts",
    "debug": "what verbose logging adds",
    "error": "a line of that severity that tells no message's fate",
    "fatal": "a line of that severity that tells no message's fate",
    "foreign": "a program that is not Postfix's: its word on a message is not taken",
    "housekeeping": "starting, stopping, tables, settings",
    "login-failed": "a login that failed",
    "panic": "a line of that severity that tells no message's fate",
    "postscreen": "postscreen's tests of a connection",
    "proxy": "a client of a before-queue filter: the message behind it has its own lines",
    "queue": "the queue manager's and pickup's notes on the queue",
    "statistics": "counters",
    "tls": "what else is said of encryption: certificates, lookups, failures, caches",
    "totals": "what postsuper did, in numbers",
    "warning": "a line of that severity that tells no message's fate",
}
"""The classes under which lines are counted that bear on no message's fate."""


def page() -> str:
    """Return the page, in Markdown."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield from (
        "# What the parser understands",
        "",
        "<!-- Written by `make schemas` from the parser's tables; do not edit. -->",
        "",
        "Every line that is read is counted once: as *parsed* (it tells something about a message, a rejection or a",
        "connection's encryption), as *ignored* under one of the classes below, or as *unparsed*: a line of Postfix",
        "that no format here knows.",
        "`journal-postfix stats` shows the counts, and samples of the unparsed lines by daemon.",
        "",
        "In the tables, `ID` is a queue id, `CLIENT` is `name[address]`, and `TEXT` is what somebody else chose: it",
        "may hold anything, also what looks like a field. A severity word (`warning:`, …) may stand before any line.",
        "",
    )
    seen: dict[int, list[str]] = {}
    for daemon, family in FAMILIES.items():
        seen.setdefault(id(family), []).append(daemon)
    for daemons in sorted(seen.values()):
        yield from _family(daemons, FAMILIES[daemons[0]])
    yield from ("## Lines that any of them may log", "")
    yield from _facts(EVERYWHERE)
    yield from _quiet(EVERYWHERE)
    yield from ("## Daemons and commands that tell no message's fate", "", "| daemon | counted as |", "|---|---|")
    yield from (f"| {daemon} | `{ignored}` |" for daemon, ignored in sorted(QUIET.items()))
    yield from (
        "",
        "Under Postfix's name but not Postfix's, counted as `foreign`: " + ", ".join(sorted(FOREIGN)) + ".",
        "",
    )
    yield from ("## Classes", "", "| class | lines |", "|---|---|")
    yield from (f"| `{name}` | {meaning} |" for name, meaning in CLASSES.items())
    yield from (
        "",
        "## Reasons",
        "",
        "Why mail was bounced, deferred or rejected, by the words of the reply first, then the enhanced status code,",
        "then the SMTP code. Addresses and host names in a reply are no evidence: senders choose them.",
        "",
        "| reason | meaning |",
        "|---|---|",
    )
    yield from (f"| `{name}` | {meaning} |" for name, meaning in REASONS.items())


def _family(daemons: list[str], family: Family) -> Iterator[str]:
    yield from (f"## {', '.join(daemons)}", "", f"Postfix: `src/`: `{family.source}`", "")
    formats = (*family.queued, *family.noqueue, *family.bare)
    yield from _facts(formats)
    yield from _quiet(formats)


def _facts(formats: tuple[Format, ...]) -> Iterator[str]:
    yield from ("| line | what becomes of it |", "|---|---|")
    shown = dict.fromkeys((_cell(f.shown), f.becomes) for f in formats if f.shown and f.becomes)
    yield from (f"| `{line}` | {becomes} |" for line, becomes in shown)
    yield ""


def _quiet(formats: tuple[Format, ...]) -> Iterator[str]:
    """Yield the known lines without a fate, by class."""
    classes: dict[str, dict[str, None]] = {}
    for entry in formats:
        if entry.ignored is not None:
            shown = entry.shown or f"{entry.begins.rstrip()} …"
            classes.setdefault(entry.ignored, {})[_cell(shown)] = None
    for name, beginnings in sorted(classes.items()):
        yield f"Counted as `{name}`: " + ", ".join(f"`{text}`" for text in beginnings) + "."
        yield ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{PAGE}\n")
