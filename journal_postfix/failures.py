"""How the command fails: one line on stderr and an exit code that scripts can rely on."""

import errno
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NoReturn

import typer

from journal_postfix import logs
from journal_postfix.rendering.characters import plain, plain_lines
from schemas.errors import ConfigurationError, JournalPostfixError

OK: Final = 0
FAILED: Final = 1
"""Something went wrong, or there was nothing to show where something was asked for."""
WRONG_USE: Final = 2
"""Wrong flags, wrong settings, an input that cannot be read: trying again without a change does not help."""
INTERRUPTED: Final = 130
"""Ctrl-C."""
TERMINATED: Final = 143
"""SIGTERM before the work was done."""

_FULL: Final = (errno.ENOSPC, errno.EDQUOT)

PREFIX: Final = "journal-postfix: "


def exit_code_of(error: JournalPostfixError) -> int:
    """Return the exit code that tells a supervisor whether starting again can help."""
    return WRONG_USE if isinstance(error, ConfigurationError) else FAILED


def complain(message: str, error: BaseException | None = None) -> None:
    """Write *message* to stderr as one line, whatever is in it but passwords; after the traceback of *error*, if given.

    A stage that logs as JSON says it so.
    """
    line = logs.without_secrets(" ".join(message.split()))
    if logs.last_words(line, error):
        return
    if error is not None:
        sys.stderr.write(plain_lines(logs.redacted("".join(traceback.format_exception(error)))))
    sys.stderr.write(f"{PREFIX}{plain(line)}\n")
    sys.stderr.flush()


@contextmanager
def reported(*, tracebacks: bool) -> Iterator[None]:
    """Turn an exception of the block into one line on stderr and ``typer.Exit`` with its exit code.

    *tracebacks*: print the traceback of an exception that nobody expected (``--log-level debug``).
    """
    try:
        yield
    except JournalPostfixError as error:
        complain(str(error))
        raise typer.Exit(exit_code_of(error)) from None
    except BrokenPipeError:  # whoever read our output has seen enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(OK) from None
    except OSError as error:
        if error.errno not in _FULL:
            _unexpected(error, tracebacks=tracebacks)
        complain(f"{_where(error)}: no space is left there; make room, and run the same command again")
        _end_output()
        raise typer.Exit(FAILED) from None
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    except Exception as error:
        if isinstance(error, (typer.Exit, typer.Abort, typer.TyperException)):
            raise
        _unexpected(error, tracebacks=tracebacks)


def _unexpected(error: Exception, *, tracebacks: bool) -> NoReturn:
    hint = "" if tracebacks else "; --log-level debug shows the traceback"
    complain(f"unexpected {type(error).__name__}: {error}{hint}", error if tracebacks else None)
    raise typer.Exit(FAILED) from None


def _where(error: OSError) -> str:
    """Return what could not be written, as far as that is known: an error of a write names no file."""
    if error.filename is not None:
        return os.fsdecode(error.filename)
    output = Path("/proc/self/fd/1")
    try:
        return f"the output ({output.readlink()}) or the data folder" if not sys.stdout.isatty() else "the data folder"
    except (OSError, ValueError):
        return "the output or the data folder"


def _end_output() -> None:
    """Write the rest of the output, or forget it where that is not possible: at the end it would fail once more."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
