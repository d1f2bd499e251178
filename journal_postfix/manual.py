"""The manual page, made from what ``--help`` knows: ``journal-postfix --manual | man -l -``."""

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

_TAG = re.compile(r"\[/?(?:[a-z]+)?\]")
_EXAMPLE: Final = "[cyan]"
_HEADING: Final = "[bold]"
ENVIRONMENT: Final = (
    ("JOURNAL_POSTFIX_SECTION__NAME", "A setting, such as JOURNAL_POSTFIX_KAFKA__BOOTSTRAP_SERVERS."),
    ("JAVA_HOME", "Where the Java is that runs the embedded Kafka, where the setting java does not say it."),
    ("NOTIFY_SOCKET", "Where systemd is told that a stage works, goes on, and stops."),
    ("JOURNAL_POSTFIX_HEARTBEAT_FILE", "A file that a stage touches from when it works, as long as its work goes on."),
)
"""What is looked at in the environment, and is no setting but for the first."""


def page(group: Any, version: str, settings_panel: str) -> str:
    """Return the page of *group*, typer's root command, as roff; options of *settings_panel* are told once."""
    shared: dict[str, Any] = {}
    commands = list(_commands(group, "journal-postfix", settings_panel, shared))
    description, *more = _paragraphs(group.help)
    lines = [
        f'.TH JOURNAL-POSTFIX 1 "" "journal-postfix {version}" "User Commands"',
        ".SH NAME",
        rf"journal\-postfix \- {_escaped(description.rstrip('.'))}",
        ".SH SYNOPSIS",
        r".B journal\-postfix",
        r"[\fISETTINGS\fR] \fICOMMAND\fR [\fIOPTIONS\fR]",
        ".SH DESCRIPTION",
        *_flowing((description, *more)),
        ".SH COMMANDS",
        *commands,
        ".SH SETTINGS",
        "Before or after a command's name:",
        *_options(shared.values()),
        ".SH ENVIRONMENT",
        *(line for name, text in ENVIRONMENT for line in (".TP", rf"\fB{_escaped(name)}\fR", _escaped(text))),
        ".SH FIRST STEPS, EXIT STATUS",
        *_flowing(_paragraphs(group.epilog)),
        ".SH SEE ALSO",
        r".BR journalctl (1), postfix (1), systemd.service (5)",
    ]
    return "\n".join(lines) + "\n"


def _commands(group: Any, name: str, settings_panel: str, shared: dict[str, Any]) -> Iterator[str]:
    for word, command in group.commands.items():
        path = f"{name} {word}"
        if not hasattr(command, "commands") or command.invoke_without_command:
            yield from _section(command, path, settings_panel, shared)
        if hasattr(command, "commands"):
            yield from _commands(command, path, settings_panel, shared)


def _section(command: Any, path: str, settings_panel: str, shared: dict[str, Any]) -> Iterator[str]:
    own = [parameter for parameter in command.params if not getattr(parameter, "hidden", False)]
    shared.update({p.name: p for p in own if _panel(p) == settings_panel})
    own = [parameter for parameter in own if _panel(parameter) != settings_panel]
    arguments = "".join(rf" \fI{_escaped(_placeholder(p))}\fR" for p in own if p.param_type_name == "argument")
    yield rf".SS {_escaped(path)}{arguments}"
    yield from _flowing(_paragraphs(command.help))
    yield from _options(own)


def _panel(parameter: Any) -> str:
    return str(getattr(parameter, "rich_help_panel", None) or "")


def _options(parameters: Iterable[Any]) -> Iterator[str]:
    for parameter in parameters:
        if parameter.name == "help":
            continue
        names = ", ".join(rf"\fB{_escaped(name)}\fR" for name in (*parameter.opts, *parameter.secondary_opts))
        if parameter.param_type_name == "argument":
            names = rf"\fI{_escaped(_placeholder(parameter))}\fR"
        elif not parameter.is_flag:
            names += rf" \fI{_escaped(_placeholder(parameter))}\fR"
        yield ".TP"
        yield names
        yield _escaped(_TAG.sub("", parameter.help or ""))


def _placeholder(parameter: Any) -> str:
    return str(parameter.metavar or parameter.name.upper())


def _paragraphs(text: str | None) -> list[str]:
    return [paragraph.strip("\n") for paragraph in (text or "").split("\n\n") if paragraph.strip()]


def _flowing(paragraphs: Iterable[str]) -> Iterator[str]:
    for paragraph in paragraphs:
        yield ".PP"
        if paragraph.startswith(_EXAMPLE):
            yield ".EX"
            yield from (_escaped(_TAG.sub("", line)) for line in paragraph.splitlines())
            yield ".EE"
        elif paragraph.startswith(_HEADING):
            yield rf"\fB{_escaped(_TAG.sub('', paragraph))}\fR"
        else:
            yield _escaped(" ".join(_TAG.sub("", paragraph).split()))


def _escaped(text: str) -> str:
    """Return *text* as roff has it: nothing in it is a request."""
    plain = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{plain}" if plain.startswith((".", "'")) else plain
