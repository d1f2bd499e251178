"""Writes ``docs/settings.md``: every setting, how to give it, and how the ways combine."""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin

import msgspec
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from journal_postfix.manual import ENVIRONMENT
from journal_postfix.settings_flags import flag_of
from schemas.settings import Settings, default_cache_dir, default_data_dir

PAGE: Final = Path(__file__).parents[1] / "docs" / "settings.md"

_IN_WORDS: Final[Mapping[Any, str]] = {
    default_data_dir: "`/var/lib/journal-postfix` for root, else `journal-postfix` in `$XDG_DATA_HOME` or "
    "`~/.local/share`",
    default_cache_dir: "`journal-postfix` in `$XDG_CACHE_HOME` or `~/.cache`",
}
"""Defaults that depend on the machine and its user."""

_KINDS: Final[Mapping[Any, str]] = {
    str: "text", int: "whole number", float: "number", bool: "true or false", Path: "path", SecretStr: "text, secret",
}  # fmt: skip

_INTRODUCTION: Final = """\
# Settings

<!-- Written by `make schemas` from the settings' model; do not edit. -->

Every setting has a default: a file with the few that differ is enough. They may be given in three ways, from weak to
strong: a **YAML file** (`--config FILE`; none is read without it), the **environment**, **flags**. Each setting is
looked up by itself: what a stronger way does not say, a weaker one may. So

```yaml
# settings.yaml
kafka:
  bootstrap_servers: kafka1:9093,kafka2:9093
  partitions: 16
  sasl_password_file: /etc/journal-postfix/kafka-password
producer:
  programs: ["postfix*", "mailer"]
```

```sh
export JOURNAL_POSTFIX_KAFKA__PARTITIONS=32
export JOURNAL_POSTFIX_KAFKA__TOPIC_PREFIX=mail.
journal-postfix topics --config settings.yaml --bootstrap-servers localhost:9092
```

makes the topics of `localhost:9092` (flag), with 32 partitions and names that begin with `mail.` (environment); the
password and the programs are the file's.

- **YAML**: sections as below. A name that does not exist is an error, so that a typing mistake is not passed over.
- **Environment**: `JOURNAL_POSTFIX_`, the section, two underscores, the name. Lists are JSON:
  `JOURNAL_POSTFIX_PRODUCER__PROGRAMS='["postfix*", "mailer"]'`. A section may be given as one JSON object too, as in
  `JOURNAL_POSTFIX_KAFKA='{"partitions": 32}'`. A name that a section does not have is an error, and so is one with an
  underscore too few or too many; other variables that begin so are not looked at.
- **Flags**: for what is often given by hand. They may stand before or after the command's name; the latter is stronger.
- **Secrets** may come from files: `sasl_password_file`, `password_file`, in the environment
  `JOURNAL_POSTFIX_DATABASE__PASSWORD_FILE`. The file holds the secret and nothing else; a line end after it is taken
  off. It is read whenever a client is made, and is stronger than the secret itself, wherever that was given. Secrets
  are in no output, and no error repeats the value that was wrong.
- What is wrong is said by its name, with exit code 2: `journal-postfix: wrong settings: database.port: Input should be
  less than or equal to 65535`. `journal-postfix check` tries all of it on the real Kafka and PostgreSQL.

What more than one stage uses should be the same in all: `kafka.topic_prefix`, `kafka.partitions`, `stream.application`
and `stream.queue_lifetime_days`. The rest matters to the stage that its section names."""


class Entry(msgspec.Struct, frozen=True):
    """One setting."""

    path: tuple[str, ...]
    field: FieldInfo

    @property
    def name(self) -> str:
        """Where it stands in the YAML file, with dots."""
        return ".".join(self.path)

    @property
    def variable(self) -> str:
        """Its name in the environment."""
        return "JOURNAL_POSTFIX_" + "__".join(self.path).upper()

    @property
    def kind(self) -> str:
        """What may be given."""
        return _kind(self.field.annotation) + _bounds(self.field)

    @property
    def default(self) -> str:
        """What it is if nobody gives it."""
        if self.field.default_factory is not None:
            return _IN_WORDS[self.field.default_factory]
        value = self.field.default
        if isinstance(value, bool):
            return f"`{str(value).lower()}`"
        if isinstance(value, tuple):
            return ", ".join(f"`{item}`" for item in value)
        return "none" if value is None else f"`{value}`"


def sections() -> Iterator[tuple[str, str, list[Entry]]]:
    """Yield each section's name, what it is, and its settings; last, without a name, those of no section."""
    alone = []
    for name, field in Settings.model_fields.items():
        model = field.annotation
        if isinstance(model, type) and issubclass(model, BaseModel):
            entries = [Entry((name, part), inner) for part, inner in model.model_fields.items()]
            yield name, " ".join((model.__doc__ or "").split()), entries
        else:
            alone.append(Entry((name,), field))
    yield "", "At the top of the file, in no section.", alone


def page() -> str:
    """Return the page, in Markdown."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield _INTRODUCTION
    for name, what, entries in sections():
        yield from ("", f"## `{name}`" if name else "## Without a section", "", what.replace("``", "`"), "")
        yield from ("| setting | environment | flag | type | default | what it is for |", "|---|---|---|---|---|---|")
        for entry in entries:
            flag = flag_of(entry.path)
            cells = (
                f"`{entry.name}`", f"`{entry.variable}`", f"`{flag}`" if flag else "", entry.kind, entry.default,
                entry.field.description or "",
            )  # fmt: skip
            yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
    yield from (
        "",
        "## Not settings",
        "",
        "`--config FILE` names the YAML file. The flags above are taken by every command, but for `--timezone`, which",
        "the commands have that read logs. What else is looked at in the environment:",
        "",
        "| variable | what |",
        "|---|---|",
    )
    yield from (f"| `{name}` | {text} |" for name, text in ENVIRONMENT if "__" not in name)


def _kind(annotation: Any) -> str:
    if get_origin(annotation) in {Union, UnionType}:
        (annotation,) = (each for each in get_args(annotation) if each is not NoneType)
    if get_origin(annotation) is Literal:
        return "one of " + ", ".join(f"`{value}`" for value in get_args(annotation))
    if get_origin(annotation) is tuple:
        return f"list of {_KINDS[get_args(annotation)[0]]}"
    return _KINDS[annotation]


def _bounds(field: FieldInfo) -> str:
    """Return what pydantic demands of the value beside its type."""
    limits = {
        name: value
        for rule in field.metadata
        for name in ("ge", "gt", "le")
        if (value := getattr(rule, name, None)) is not None
    }
    patterns = [rule.pattern for rule in field.metadata if getattr(rule, "pattern", None)]
    words = []
    if "ge" in limits and "le" in limits:
        words.append(f"{limits['ge']} to {limits['le']}")
    else:
        said = (("ge", "at least"), ("gt", "more than"), ("le", "at most"))
        words += [f"{text} {limits[name]}" for name, text in said if name in limits]
    words += [f"`{pattern}`" for pattern in patterns]
    return f", {', '.join(words)}" if words else ""


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{PAGE}\n")
