"""Writes ``docs/asyncapi.yaml``: the topics as an AsyncAPI document, for tools that make clients or pages of it."""

import sys
from pathlib import Path
from typing import Any, Final

import yaml

from schemas.flow import FLOWS
from schemas.json_schemas import RECORDS
from schemas.settings import KafkaSettings, StreamSettings
from schemas.topics import Topic, topics_of

FILE: Final = Path(__file__).parents[1] / "docs" / "asyncapi.yaml"

_STAGES: Final = ("producer", "stream", "sink")
_DIALECT: Final = "application/schema+json;version=draft-2020-12"
_BINDING: Final = "0.5.0"
_LISTS: Final = frozenset({"cleanup.policy"})
_MSGPACK: Final = frozenset({"raw"})


def document() -> dict[str, Any]:
    """Return the document, as AsyncAPI 3.0.0 has it: channels are topics, operations what the stages do with them."""
    kafka = KafkaSettings()
    topics = {topic.name.removeprefix(kafka.topic_prefix): topic for topic in topics_of(kafka, StreamSettings()).all()}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "journal-postfix",
            "version": "1",
            "description": "The Kafka topics of journal-postfix, with the names and configuration that its settings "
            "have by default. Records are written in transactions: read committed ones only. Records of one key are "
            "versions of one row. Fields may be added; a change that is none of this raises `version` in the records.",
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "channels": {name: _channel(name, topics[name]) for name in RECORDS},
        "operations": {
            f"{stage}-{action}-{name}": {"action": action, "channel": {"$ref": f"#/channels/{name}"}}
            for stage in _STAGES
            for action in ("receive", "send")
            for name, flow in FLOWS.items()
            if stage in (flow.read_by if action == "receive" else flow.written_by)
        },
        "components": {"messages": {name: _message(name) for name in RECORDS}},
    }


def text() -> str:
    """Return the document as its file has it."""
    head = "# Written by `make schemas` from schemas/; do not edit.\n"
    return head + yaml.safe_dump(document(), sort_keys=False, allow_unicode=True, width=120)


def _channel(name: str, topic: Topic) -> dict[str, Any]:
    config = {
        key: value.split(",") if key in _LISTS else yaml.safe_load(value)  # numbers are numbers there
        for key, value in topic.config.items()
    }
    return {
        "address": topic.name,
        "description": topic.what,
        "messages": {name: {"$ref": f"#/components/messages/{name}"}},
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": topic.partitions,
                "replicas": topic.replication_factor,
                "topicConfiguration": config,
                "bindingVersion": _BINDING,
            }
        },
    }


def _message(name: str) -> dict[str, Any]:
    flow = FLOWS[name]
    message: dict[str, Any] = {
        "name": name,
        "summary": " ".join((RECORDS[name].__doc__ or "").split("\n")[0].split()).replace("``", "`"),
        "contentType": "application/vnd.msgpack" if name in _MSGPACK else "application/json",
        "payload": {"schemaFormat": _DIALECT, "schema": {"$ref": f"../schemas/json/{name}.schema.json"}},
    }
    if flow.key_schema is not None:
        key = {**flow.key_schema, "description": flow.key}
        message["bindings"] = {"kafka": {"key": key, "bindingVersion": _BINDING}}
    return message


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
    sys.stdout.write(f"{FILE}\n")
