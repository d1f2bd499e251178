"""What a stage says: kept in its log file, warnings shown, its last error remembered for the day it dies."""

import json
import logging
import logging.handlers
from pathlib import Path
from typing import Any, Final

import msgspec

from journal_postfix.failures import PREFIX
from journal_postfix.rendering.characters import cut_end, plain

MAX_LOG_BYTES: Final = 10 * 1024 * 1024
_MAX_SHOWN: Final = 400
_NOT_SHOWN: Final = frozenset({"event", "level", "timestamp", "logger", "exception", "stack", "stage", "last_words"})


class Said(msgspec.Struct, frozen=True):
    """One line of a stage's output."""

    level: int
    """As in `logging`; NOTSET for a line that is no log record, such as one of a traceback."""
    text: str
    """For a person: one line, nothing in it that a terminal would act on."""
    last_words: bool = False
    """It says why the stage ends."""


def read_line(line: str) -> Said:
    """Return what a line of a stage's stderr says: a JSON log record, an error for people, or anything."""
    if line.startswith("{"):
        try:
            record: Any = json.loads(line)
        except ValueError:
            record = None
        if isinstance(record, dict) and "event" in record:
            return _of_record(record)
    if line.startswith(PREFIX):
        return Said(logging.ERROR, _shown(line.removeprefix(PREFIX)), last_words=True)
    return Said(logging.NOTSET, _shown(line))


def _of_record(record: dict[str, Any]) -> Said:
    level = logging.getLevelNamesMapping().get(str(record.get("level", "info")).upper(), logging.INFO)
    details = " ".join(f"{key}={value}" for key, value in record.items() if key not in _NOT_SHOWN and key[:1] != "_")
    exception = str(record.get("exception", "")).strip().rsplit("\n", 1)[-1]
    text = _shown(" ".join(filter(None, (str(record["event"]), details, exception))))
    return Said(level, text, last_words=bool(record.get("last_words")))


def _shown(text: str) -> str:
    return cut_end(plain(" ".join(text.split())), _MAX_SHOWN)


def log_file(directory: Path, stage: str) -> logging.Handler:
    """Return a handler that keeps a stage's last 10 to 20 MB of output in *directory*."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    handler = logging.handlers.RotatingFileHandler(
        directory / f"{stage}.log", maxBytes=MAX_LOG_BYTES, backupCount=1, encoding="utf-8", errors="backslashreplace"
    )
    handler.setFormatter(logging.Formatter("%(message)s"))
    return handler
