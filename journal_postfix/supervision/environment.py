"""Settings handed to a stage's process through its environment: complete, and on no disk."""

import json
from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel, SecretStr

from schemas.settings import Settings

PREFIX: Final = "JOURNAL_POSTFIX_"


def environment_of(settings: Settings, inherited: Mapping[str, str]) -> dict[str, str]:
    """Return *inherited* with every setting of *settings* and no other of this program's."""
    environment = {name: value for name, value in inherited.items() if not name.upper().startswith(PREFIX)}
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, BaseModel):
            environment[PREFIX + name.upper()] = json.dumps(_revealed(value))
        elif value is not None:
            environment[PREFIX + name.upper()] = str(value)
    return environment


def _revealed(section: BaseModel) -> dict[str, Any]:
    values = section.model_dump(mode="json")
    for name in type(section).model_fields:
        if isinstance(secret := getattr(section, name), SecretStr):
            values[name] = secret.get_secret_value()
    return values
