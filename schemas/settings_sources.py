"""Where settings come from besides flags: a YAML file, and the environment; what is wrong there is named."""

import json
import os
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic_settings import YamlConfigSettingsSource

from schemas.errors import ConfigurationError


class FileSource(YamlConfigSettingsSource):
    """The YAML file: names and their values; a section in which nothing stands is not there."""

    def _read_file(self, file_path: Any) -> dict[str, Any]:
        found: object = super()._read_file(file_path)
        if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
            raise ConfigurationError(
                f"cannot read the settings: {file_path} holds no settings by their names, such as kafka: "
                "{partitions: 16}"
            )
        return {name: value for name, value in found.items() if value is not None}


def no_json(model: type[BaseModel], prefix: str, delimiter: str) -> list[str]:
    """Return what the environment should give as JSON and does not: paths of sections and lists of *model*.

    Names of variables are *prefix* and the path's parts with *delimiter* between, in letters of any case.
    """
    given = {name.upper(): value for name, value in os.environ.items()}
    wrong = []
    for path in _in_json(model):
        value = given.get(prefix + delimiter.join(path).upper())
        try:
            json.loads(value or "{}")
        except ValueError:
            wrong.append(".".join(path))
    return wrong


def misspelt(model: type[BaseModel], prefix: str, delimiter: str) -> dict[str, str]:
    """Return variables of the environment that are a setting of *model* but for their underscores, and its name.

    What is like no setting may be somebody else's, as what Kubernetes says of its services is.
    """
    names = {prefix + delimiter.join(path).upper() for path in _paths(model)}
    meant = {name.replace("_", ""): name for name in names}
    found = {given: meant.get(given.upper().replace("_", ""), given) for given in os.environ}
    return {given: name for given, name in found.items() if given.upper() not in {name, *names}}


def _paths(model: type[BaseModel], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, field in model.model_fields.items():
        yield (*above, name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _paths(field.annotation, (*above, name))


def _in_json(model: type[BaseModel], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield (*above, name)
            yield from _in_json(kind, (*above, name))
        elif isinstance(field.default, tuple):
            yield (*above, name)
