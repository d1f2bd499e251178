"""Logging of the command and its stages: structlog and the standard library's, one format, to stderr, no secrets."""

import logging
import re
import sys
import traceback
from typing import Any, Final, Literal, TextIO

import structlog
from structlog.typing import EventDict, ExcInfo, Processor

from journal_postfix.rendering.characters import plain, plain_lines

_SECRET: Final = re.compile(r"password|passwd|secret|token|credential|private_?key|authorization", re.IGNORECASE)
_URL_PASSWORD: Final = re.compile(r"(\w://[^/\s:@]*:)[^/\s@]+@")
_QUIET: Final = ("aiokafka", "kafka", "faust", "mode", "asyncio")
"""Libraries that tell at info what only their authors want to know."""


def redact(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Replace the value of every key that looks like a secret, and passwords in URLs."""
    for key, value in event.items():
        if _SECRET.search(key) and not key.endswith("_file"):
            event[key] = "***"
        elif isinstance(value, str) and "://" in value:
            event[key] = _URL_PASSWORD.sub(r"\1***@", value)
    return event


def harmless(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Make what could act on a terminal visible: a reason may quote a log line, which a stranger wrote."""
    return {key: plain(value) if isinstance(value, str) else value for key, value in event.items()}


def _traceback(stream: TextIO, exc_info: ExcInfo) -> None:
    # The renderer's own choice, where rich is installed, shows every local variable: passwords, and people's mail.
    stream.write("\n" + plain_lines("".join(traceback.format_exception(*exc_info))))


def configure(log_format: Literal["console", "json"], log_level: str) -> None:
    """Send everything that is logged in this process to stderr, as lines for people or as JSON."""
    level = logging.getLevelNamesMapping()[log_level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        redact,
    ]
    renderers: list[Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if log_format == "json"
        else [harmless, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=_traceback)]
    )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder(), redact],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(level, logging.WARNING) if level > logging.DEBUG else level)
