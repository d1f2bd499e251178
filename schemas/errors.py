"""The kinds of failure that a stage tells apart."""

from typing import Final

import msgspec

UNREADABLE: Final = (msgspec.DecodeError, ValueError, OverflowError, RecursionError)
"""What msgspec raises for bytes that are no record: of another shape, in no encoding, out of range, nested too deep."""


class JournalPostfixError(Exception):
    """An error that its message explains to a person: what happened, where, and what to do."""


class ConfigurationError(JournalPostfixError):
    """Something was set or given wrongly; trying again without a change does not help."""


class BadRecordError(JournalPostfixError):
    """A record that cannot be read; it becomes a dead letter and its neighbours go on."""


class TryAgainLaterError(JournalPostfixError):
    """Something that the stage needs does not answer now; the same call may work later."""


def one_line(error: Exception) -> str:
    """Return what *error* says, on one line: PostgreSQL says it on several."""
    return " ".join(str(error).split())
