"""The settings as flags: the ones that people expect on every command, before or after the command's name."""

import functools
import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import Annotated, Any, Final, get_args

import typer

from journal_postfix import logs
from journal_postfix.failures import full_disk_named, reported
from journal_postfix.supervision.lifeline import hold_on
from schemas.settings import load

PANEL: Final = "Settings (also in the environment and in --config)"


def _option(name: str, of: Any, text: str, metavar: str) -> inspect.Parameter:
    annotation = Annotated[of, typer.Option(rich_help_panel=PANEL, help=text, metavar=metavar)]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


_FLAGS: Final = (
    _option("config", Path | None, "YAML file with settings.", "FILE"),
    _option("bootstrap_servers", str | None, "Kafka; without it, `up` starts its own.", "HOST:PORT,…"),
    _option("database_host", str | None, "PostgreSQL; without it, `up` starts its own.", "HOST"),
    _option("database_port", int | None, "Its port.", "PORT"),
    _option("database_name", str | None, "The database that holds the tables.", "NAME"),
    _option("database_user", str | None, "The role to log in as.", "ROLE"),
    _option("data_dir", Path | None, "Data of the embedded Kafka and PostgreSQL.", "DIR"),
    _option("log_format", str | None, "How to log: console or json.", "FORMAT"),
    _option("log_level", str | None, "debug, info, warning or error.", "LEVEL"),
)
_WHERE: Final[Mapping[str, tuple[str, ...]]] = {
    "bootstrap_servers": ("kafka", "bootstrap_servers"),
    "database_host": ("database", "host"),
    "database_port": ("database", "port"),
    "database_name": ("database", "dbname"),
    "database_user": ("database", "user"),
    "data_dir": ("data_dir",),
    "log_format": ("log_format",),
    "log_level": ("log_level",),
    "timezone": ("producer", "timezone"),
}
"""The setting that each flag sets; the last are flags of single commands."""


def flag_of(path: tuple[str, ...]) -> str | None:
    """Return the flag of the setting at *path*, such as ``--database-host``; None where it has none."""
    return next((f"--{flag.replace('_', '-')}" for flag, where in _WHERE.items() if where == path), None)


def nested(flags: Mapping[str, Any]) -> dict[str, Any]:
    """Return the flags that were given as the settings are nested."""
    settings: dict[str, Any] = {}
    for flag, path in _WHERE.items():
        if (value := flags.get(flag)) is not None:
            section = settings
            for part in path[:-1]:
                section = section.setdefault(part, {})
            section[path[-1]] = value
    return settings


def flowing(text: str | None) -> str:
    """Return a docstring whose paragraphs flow: typer keeps its line ends, which only a block of examples should."""
    paragraphs = inspect.cleandoc(text or "").split("\n\n")
    return "\n\n".join(p if p.startswith("[") else " ".join(p.split()) for p in paragraphs)


def with_flags(function: Callable[..., None]) -> Callable[..., None]:
    """Give *function* the settings' flags, kept for the command that follows: ``journal-postfix FLAGS up``."""

    @functools.wraps(function)
    def before(**given: Any) -> None:
        context: typer.Context = given["context"]
        context.obj = {flag.name: given.pop(flag.name) for flag in _FLAGS}
        function(**given)

    hidden = [_hidden(flag) for flag in _FLAGS]  # each command's help shows them
    return _with_signature(before, function, drop=(), flags=hidden)


def with_settings(function: Callable[..., None]) -> Callable[..., None]:
    """Give *function*, whose first parameter is the settings, the flags that make them, and report its errors.

    A flag after the command's name is stronger than the same before it.
    """

    @functools.wraps(function)
    def command(**given: Any) -> None:
        context: typer.Context = given.pop("context_of_flags")
        flags = {name: value for name, value in (context.obj or {}).items() if value is not None}
        own = {name: given.pop(name) for name in list(given) if name == "config" or name in _WHERE}
        flags.update({name: value for name, value in own.items() if value is not None})
        if context.invoked_subcommand is not None:  # `replay FLAGS diff`: they are that command's
            context.obj = flags
            return
        level = str(flags.get("log_level", os.environ.get("JOURNAL_POSTFIX_LOG_LEVEL", "")))
        hold_on()
        with reported(tracebacks=level.lower() == "debug"):
            settings = load(flags.get("config"), nested(flags))
            logs.hide(logs.secrets_of(settings))
            logs.configure(settings.log_format, settings.log_level)
            with full_disk_named(settings.data_dir):
                function(settings, **given)

    context = inspect.Parameter("context_of_flags", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    return _with_signature(command, function, drop=("settings",), first=(context,))


def _with_signature(
    outer: Callable[..., None],
    inner: Callable[..., None],
    drop: tuple[str, ...],
    first: tuple[inspect.Parameter, ...] = (),
    flags: Sequence[inspect.Parameter] = _FLAGS,
) -> Callable[..., None]:
    """Show typer, which reads signatures, the parameters of *inner* without *drop*, and the flags."""
    signature = inspect.signature(inner, eval_str=True)
    own = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in signature.parameters.values()
        if parameter.name not in drop
    ]
    parameters = [*first, *own, *flags]
    outer.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    outer.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    outer.__doc__ = flowing(inner.__doc__)
    return outer


def _hidden(flag: inspect.Parameter) -> inspect.Parameter:
    kind, option = get_args(flag.annotation)
    shown = copy(option)
    shown.hidden = True
    return flag.replace(annotation=Annotated[kind, shown])
