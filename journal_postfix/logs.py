"""Logging of the command and its stages: structlog and the standard library's, one format, to stderr, no secrets."""

import logging
import os
import re
import sys
import threading
from collections.abc import Iterable
from typing import Any, Final, Literal

import structlog
from structlog.typing import EventDict, Processor

from journal_postfix.rendering.characters import plain, plain_lines
from schemas.errors import ConfigurationError
from schemas.settings import Settings

WORKER_VARIABLE: Final = "JOURNAL_POSTFIX_WORKER"
"""Names the number of a worker that others like it run beside."""

_SECRET: Final = re.compile(r"passw(or)?d|secret|token|credential|private_?key|authorization|sasl", re.IGNORECASE)
_NO_SECRET: Final = re.compile(r"_file$|^sasl_(mechanism|username)", re.IGNORECASE)
_URL_PASSWORD: Final = re.compile(r"(\w://[^/\s:@]*:)[^/\s@]+@")
_GIVEN_PASSWORD: Final = re.compile(
    r"(\b[\w.]*passw(?:or)?d\w*(?:['\"]\s*:|\s*=)\s*)('[^']*'|\"[^\"]*\"|[^\s,;)}&]+)", re.IGNORECASE
)
"""In a DSN, or in a dict that is shown."""
_ADDRESS: Final = re.compile(r"(?:\"[^\"@\s][^\"@]*\"|[^\s<>\"'(),;:\[\]{}=|/\\]+)@(?=[\w\[])")
_SHORTEST: Final = 4
"""A secret of fewer characters is in too many words to be taken out of them."""
_LONGEST: Final = 20_000
"""Characters of a text that are logged, such as of a traceback."""
_DEEPEST: Final = 5

_QUIET: Final = ("aiokafka", "kafka", "faust", "mode", "asyncio")
"""Libraries that tell at info what only their authors want to know."""
_REQUESTS: Final = ("aiokafka.conn", "aiokafka.protocol")
"""These tell every request at debug, passwords and mail included."""
_LIBRDKAFKA: Final = "librdkafka"
"""What it says on the way to an error is in the error."""

_bound: dict[str, Any] = {}
_state = {"json": False}  # of this process, once configured
_secrets: set[str] = set()


def bind(**fields: Any) -> None:
    """Add *fields* to everything that this process logs from now on."""
    _bound.update(fields)


def last_words(message: str, error: BaseException | None = None) -> bool:
    """Log why a stage ends, with the traceback of *error*, where it logs for a collector; tell whether it does."""
    if not _state["json"] or "stage" not in _bound:
        return False
    structlog.get_logger("journal_postfix").error(message, last_words=True, exc_info=error)
    return True


def hide(secrets: Iterable[str]) -> None:
    """Keep these words out of everything that is logged from now on, wherever they come from."""
    _secrets.update(secret for secret in secrets if len(secret) >= _SHORTEST)


def secrets_of(settings: Settings) -> list[str]:
    """Return the passwords of *settings*; one whose file cannot be read is told by whoever needs it."""
    found = []
    for secret in (settings.kafka.sasl_secret, settings.kafka.ssl_key_secret, settings.database.secret):
        try:
            found.append(secret())
        except ConfigurationError:
            continue
    return [secret for secret in found if secret]


def redact(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Replace what is or looks like a secret, and the local parts of addresses, however deep they are."""
    return {key: _redacted(key, value, 0) for key, value in event.items()}


def without_secrets(text: str) -> str:
    """Return *text* without the passwords of the settings and of URLs."""
    for secret in _secrets:
        text = text.replace(secret, "***")
    return _URL_PASSWORD.sub(r"\1***@", text) if "://" in text else text


def redacted(text: str) -> str:
    """Return *text* without secrets and what looks like one, and without the local parts of addresses."""
    text = _GIVEN_PASSWORD.sub(r"\1***", without_secrets(text))
    if "@" in text:
        text = _ADDRESS.sub("***@", text)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _redacted(key: str, value: Any, depth: int) -> Any:
    if _SECRET.search(key) and not _NO_SECRET.search(key) and value is not None:
        return "***"
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if depth < _DEEPEST and isinstance(value, dict):
        return {redacted(str(name)): _redacted(str(name), inner, depth + 1) for name, inner in value.items()}
    if depth < _DEEPEST and isinstance(value, (list, tuple, set, frozenset)):
        return [_redacted("", inner, depth + 1) for inner in value]
    return redacted(str(value))


def _add_bound(_logger: Any, _method: str, event: EventDict) -> EventDict:
    return {**event, **{name: value for name, value in _bound.items() if name not in event}}


def _harmless(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Make what could act on a terminal visible: a reason may quote a log line, which a stranger wrote."""
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = plain_lines(value) if key in {"exception", "stack"} else plain(value)
    return event


def configure(log_format: Literal["console", "json"], log_level: str) -> None:
    """Send everything that is logged in this process to stderr, as lines for people or as JSON."""
    level = logging.getLevelNamesMapping()[log_level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        _add_bound,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    plain_traceback = structlog.dev.plain_traceback
    ends: list[Processor] = (
        [structlog.processors.JSONRenderer()]
        if log_format == "json"
        else [_harmless, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain_traceback)]
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
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                redact,  # the last before it is text: nothing gets in afterwards
                *ends,
            ],
        )
    )
    _state["json"] = log_format == "json"
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(level, logging.WARNING) if level > logging.DEBUG else level)
    for name in _REQUESTS:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger(_LIBRDKAFKA).setLevel(level if level == logging.DEBUG else logging.CRITICAL + 1)
    logging.captureWarnings(capture=True)
    threading.excepthook = _died
    if worker := os.environ.pop(WORKER_VARIABLE, ""):
        bind(worker=int(worker) if worker.isdecimal() else worker)


def _died(died: threading.ExceptHookArgs) -> None:
    """Log what ended a thread, as everything is logged."""
    if died.exc_type is not SystemExit and died.exc_value is not None:
        name = died.thread.name if died.thread is not None else "?"
        structlog.get_logger("threading").error("a thread died", thread=name, exc_info=died.exc_value)
