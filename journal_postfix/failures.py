"""How the command fails: one line on stderr and an exit code that scripts can rely on."""

import errno
import os
import stat
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

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
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):  # rich takes that for a failure
            raise typer.Exit(OK) from None
        raise
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    except Exception as error:
        if isinstance(error, (typer.Exit, typer.Abort, typer.TyperException)):
            raise
        hint = "" if tracebacks else "; --log-level debug shows the traceback"
        complain(f"unexpected {type(error).__name__}: {error}{hint}", error if tracebacks else None)
        raise typer.Exit(FAILED) from None


@contextmanager
def full_disk_named(data_dir: Path) -> Iterator[None]:
    """Say which disk is full: that of a file, of the output or of *data_dir*. Raises JournalPostfixError."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        where = os.fsdecode(error.filename) if error.filename else _written_to(data_dir)
        raise JournalPostfixError(
            f"{where}: no space is left on its disk; make room there, and run the same command again"
        ) from None


def _written_to(data_dir: Path) -> str:
    """Return what may have been written to by a write that failed, whose error names no file."""
    places: dict[str, int | Path] = {str(data_dir): data_dir}
    with suppress(OSError, ValueError):  # it may be closed
        if stat.S_IFMT(os.fstat(sys.stdout.fileno()).st_mode) in {stat.S_IFREG, stat.S_IFCHR}:
            places = places if sys.stdout.isatty() else {"standard output": sys.stdout.fileno(), **places}
    return " or ".join([name for name, place in places.items() if _is_full(place)] or places)


def _is_full(place: int | Path) -> bool:
    try:
        return os.statvfs(place).f_bavail == 0
    except OSError:
        return False
