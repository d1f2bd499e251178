"""JSON Schema files of everything that stands in a topic, made from the structs: ``python -m schemas.json_schemas``."""

import inspect
import json
from pathlib import Path
from typing import Any, Final

import msgspec

from schemas.dead_letters import DeadLetter
from schemas.deliveries import DeliveryFrom, DeliveryTo, Rejection
from schemas.progress import Progress
from schemas.raw import PositionRecord, RawBatch
from schemas.tls_sessions import TlsSession

FOLDER: Final = Path(__file__).parent / "json"

RECORDS: Final[dict[str, type[msgspec.Struct]]] = {
    "raw": RawBatch,
    "positions": PositionRecord,
    "delivery-from": DeliveryFrom,
    "delivery-to": DeliveryTo,
    "noqueue": Rejection,
    "tls-session": TlsSession,
    "dead-letter": DeadLetter,
    "progress": Progress,
}
"""The value of each topic, by the topic's name without its prefix. That of ``raw`` is MessagePack of the same shape."""


def json_schema(name: str) -> dict[str, Any]:
    """Return the JSON Schema of the values of topic *name*, one of RECORDS."""
    (schema,), components = msgspec.json.schema_components([RECORDS[name]], ref_template="#/$defs/{name}")
    for component in components.values():
        if "description" in component:  # a docstring, which Python 3.13 has no longer indented
            component["description"] = inspect.cleandoc(component["description"])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Value of postfix.{name}",
        **schema,
        "$defs": components,
    }


def text_of(name: str) -> str:
    """Return the schema of topic *name* as its file has it."""
    return json.dumps(json_schema(name), indent=2, ensure_ascii=False, sort_keys=True) + "\n"


def main() -> None:
    """Write all schema files anew."""
    FOLDER.mkdir(exist_ok=True)
    for name in RECORDS:
        (FOLDER / f"{name}.schema.json").write_text(text_of(name), encoding="utf-8")


if __name__ == "__main__":
    main()
