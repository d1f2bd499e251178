"""Who writes each topic, who reads it, and under which key: what its name and schema don't say."""

from typing import Any, Final

import msgspec

_TEXT: Final[dict[str, Any]] = {"type": "string"}


def _array(*names: str) -> dict[str, Any]:
    return {"type": "array", "description": ", ".join(names), "items": _TEXT, "minItems": len(names)}


class Flow(msgspec.Struct, frozen=True, kw_only=True):
    """One topic in the flow."""

    written_by: tuple[str, ...]
    """Stages: ``producer``, ``stream``, ``sink``."""
    read_by: tuple[str, ...]
    key: str
    """What the key is, for people; empty where there is none."""
    key_schema: dict[str, Any] | None
    partition: str = "that of its lines in `raw`"
    """What decides on the partition."""


FLOWS: Final[dict[str, Flow]] = {
    "raw": Flow(
        written_by=("producer",), read_by=("stream",), key="", key_schema=None,
        partition="murmur2 of `host/queue id`, else of `host/program[pid]`, of the lines in it",
    ),
    "positions": Flow(
        written_by=("producer",), read_by=("producer",), key="the source, as in `mx1:file:/var/log/mail.log`",
        key_schema=_TEXT, partition="one",
    ),
    "delivery-from": Flow(
        written_by=("stream",), read_by=("sink",),
        key="JSON array: host, queue id, time of arrival; and the parent's queue id, where a parent tells of its child",
        key_schema={**_array("host", "queue_id", "arrived_at"), "maxItems": 4},
    ),
    "delivery-to": Flow(
        written_by=("stream",), read_by=("sink",),
        key="JSON array: host, queue id, time of arrival, recipient, original recipient (or empty)",
        key_schema={**_array("host", "queue_id", "arrived_at", "recipient", "orig_recipient"), "maxItems": 5},
    ),
    "noqueue": Flow(
        written_by=("stream",), read_by=("sink",), key="JSON array: host, time, digest of the line",
        key_schema={**_array("host", "at", "digest"), "maxItems": 3},
    ),
    "tls-session": Flow(
        written_by=("stream",), read_by=("sink",), key="JSON array: host, time, digest of the line",
        key_schema={**_array("host", "at", "digest"), "maxItems": 3},
    ),
    "dead-letter": Flow(
        written_by=("producer", "stream", "sink"), read_by=(),
        key="`topic/partition/offset` of the refused record; of a producer's line: its source", key_schema=_TEXT,
        partition="one",
    ),
    "progress": Flow(
        written_by=("stream",), read_by=(), key="number of the partition of `raw`", key_schema=_TEXT, partition="one",
    ),
}  # fmt: skip
"""By the topic's name without its prefix, as in `schemas.json_schemas.RECORDS`."""
