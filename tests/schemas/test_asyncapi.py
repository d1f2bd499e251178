"""The AsyncAPI document knows the topics as they are, and refers to nothing that is not there."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from schemas.asyncapi import FILE, text
from schemas.deliveries import (
    DeliveryFrom,
    DeliveryTo,
    Rejection,
    delivery_key,
    message_key,
    rejection_key,
)
from schemas.flow import FLOWS
from schemas.json_schemas import RECORDS
from schemas.settings import KafkaSettings, StreamSettings
from schemas.tls_sessions import TlsSession, tls_session_key
from schemas.topics import topics_of

AT = "2026-11-22T06:00:00.000000Z"
LINE: dict[str, Any] = {
    "host": "mx1",
    "at": AT,
    "digest": "0123456789abcdef",
    "service": "smtpd",
    "instance": "postfix",
}


@pytest.fixture(scope="module")
def document() -> Any:
    return yaml.safe_load(FILE.read_text(encoding="utf-8"))


def test_the_document_is_up_to_date() -> None:
    assert FILE.read_text(encoding="utf-8") == text(), "make schemas"


def test_every_topic_that_others_may_use_is_a_channel_as_it_is_made(document: Any) -> None:
    topics = topics_of(KafkaSettings(), StreamSettings())
    expected = {topic.name: topic for topic in topics.all() if topic is not topics.changelog}
    assert {channel["address"] for channel in document["channels"].values()} == set(expected)
    for channel in document["channels"].values():
        made, topic = channel["bindings"]["kafka"], expected[channel["address"]]
        assert (made["topic"], made["partitions"]) == (topic.name, topic.partitions)
        policy = ",".join(made["topicConfiguration"]["cleanup.policy"])
        assert policy == topic.config["cleanup.policy"]
        assert set(made["topicConfiguration"]) == set(topic.config)


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref":
                yield value
            else:
                yield from references(value)


def test_whatever_it_refers_to_is_there(document: Any) -> None:
    found = list(references(document))
    assert len(found) > 3 * len(RECORDS)
    for reference in found:
        if reference.startswith("#/"):
            node = document
            for part in reference[2:].split("/"):
                node = node[part]
        else:
            schema = json.loads((FILE.parent / reference).read_text(encoding="utf-8"))
            assert schema["$schema"].endswith("2020-12/schema")


def test_what_a_stage_sends_to_another_the_other_receives(document: Any) -> None:
    operations = document["operations"]
    assert operations["producer-send-raw"]["action"] == "send"
    assert operations["stream-receive-raw"]["action"] == "receive"
    for name in ("delivery-from", "delivery-to", "noqueue", "tls-session"):
        assert {key for key in operations if key.endswith(f"-{name}")} == {
            f"stream-send-{name}", f"sink-receive-{name}",
        }  # fmt: skip


def test_somebody_writes_every_topic() -> None:
    assert set(FLOWS) == set(RECORDS)
    assert all(flow.written_by for flow in FLOWS.values())


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("delivery-from", message_key(DeliveryFrom(host="mx1", queue_id="A1B2C3", arrived_at=AT))),
        (
            "delivery-to",
            delivery_key(
                DeliveryTo(host="mx1", queue_id="A1B2C3", arrived_at=AT, recipient="r@example.org", last_attempt_at=AT,
                           status="sent", first_attempt_at=AT)
            ),
        ),
        ("noqueue", rejection_key(Rejection(**LINE, pid=7, action="reject", stage="RCPT"))),
        ("tls-session", tls_session_key(TlsSession(**LINE, pid=7, direction="to", trust="", reused=False,
                                                   protocol="TLSv1.3", cipher="X"))),
    ],
)  # fmt: skip
def test_a_key_is_as_it_is_described(name: str, key: bytes) -> None:
    schema = FLOWS[name].key_schema
    assert schema is not None
    parts = json.loads(key)
    assert schema["minItems"] == len(parts) <= schema["maxItems"]
    assert {type(part) for part in parts} == {str}
    assert schema["type"] == "array"
