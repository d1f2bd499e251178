"""Stages of two versions work side by side: each reads the records that the other writes."""

from copy import deepcopy
from typing import Any

import msgspec
import pytest

from schemas.deliveries import DeliveryTo, decode_delivery_to, encode_record
from schemas.errors import BadRecordError
from schemas.merging import merge_deliveries
from schemas.tls_sessions import TlsSession, decode_tls_session, tls_session_key

AT = "2026-11-22T06:00:00.000000Z"
BEFORE = b"""{"host":"mx1","queue_id":"9D5CB98A3E3","arrived_at":"%(at)s","origin":2,"recipient":"r@x.test",
    "last_attempt_at":"%(at)s","status":"sent","number":7,"parser":1,"service":"smtp","relay":"r[192.0.2.1]:25",
    "reply":"ok","first_attempt_at":"%(at)s"}""" % {b"at": AT.encode()}
"""A delivery as it was before it had the agent's process id."""

SESSION: dict[str, Any] = {
    "host": "mx1", "at": AT, "digest": "0123456789abcdef", "parser": 2, "service": "smtp", "instance": "postfix",
    "pid": 7, "direction": "to", "trust": "trusted", "reused": False, "protocol": "TLSv1.3", "cipher": "X",
}  # fmt: skip


def test_a_delivery_of_an_older_stream_stage_has_no_process_id() -> None:
    assert decode_delivery_to(BEFORE).pid is None


def test_the_newer_reading_of_one_line_gives_it_one_in_either_order() -> None:
    older = decode_delivery_to(BEFORE)
    newer = msgspec.structs.replace(older, parser=2, pid=12)
    for first, second in ((older, newer), (newer, older)):
        row = deepcopy(first)
        merge_deliveries(row, deepcopy(second))
        assert (row.pid, row.attempts, row.history) == (12, 1, [])


def test_what_a_newer_version_added_does_not_disturb() -> None:
    value = encode_record(decode_delivery_to(BEFORE))
    assert decode_delivery_to(value[:-1] + b',"of_tomorrow":1}') == decode_delivery_to(BEFORE)
    value = msgspec.json.encode({**SESSION, "of_tomorrow": 1})
    assert decode_tls_session(value) == TlsSession(**SESSION)


def test_a_session_is_the_same_after_the_topic() -> None:
    session = TlsSession(**SESSION, peer_name="r", peer_address="192.0.2.1", peer_port=25)
    assert decode_tls_session(encode_record(session)) == session
    assert tls_session_key(session) == b'["mx1","2026-11-22T06:00:00.000000Z","0123456789abcdef"]'


@pytest.mark.parametrize("record", [{**SESSION, "version": 2}, {**SESSION, "pid": "7"}, {}])
def test_what_is_no_session_is_refused(record: dict[str, Any]) -> None:
    with pytest.raises(BadRecordError):
        decode_tls_session(msgspec.json.encode(record))


def test_a_process_id_takes_part_in_the_order_of_attempts() -> None:
    rows = [DeliveryTo(host="h", queue_id="Q", arrived_at=AT, recipient="r", last_attempt_at=AT, first_attempt_at=AT,
                       status="sent", pid=pid) for pid in (None, 1, 2)]  # fmt: skip
    for order in (rows, rows[::-1]):
        merged = deepcopy(order[0])
        for row in order[1:]:
            merge_deliveries(merged, deepcopy(row))
        assert merged.pid == 2
