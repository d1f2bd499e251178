"""Whatever bytes somebody writes into a topic of ours, they are a bad record: no stage ends on them."""

from collections.abc import Callable

import pytest

from schemas.dead_letters import decode_dead_letter
from schemas.deliveries import decode_delivery_from, decode_delivery_to, decode_rejection
from schemas.errors import BadRecordError
from schemas.progress import decode_progress
from schemas.raw import decode_batch, decode_position
from schemas.tls_sessions import decode_tls_session


@pytest.mark.parametrize(
    "decode",
    [
        decode_batch, decode_position, decode_delivery_from, decode_delivery_to, decode_rejection, decode_tls_session,
        decode_dead_letter, decode_progress,
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "value",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\xff", id="no-json"),
        pytest.param(b"[]", id="another-shape"),
        pytest.param(b'{"host": "\xff", "reason": "\xff", "source": "\xff"}', id="text-in-no-encoding"),
        pytest.param(b'{"x": ' + b"[" * 100_000, id="json-deeper-than-is-read"),
        pytest.param(b"\x81\xa1x" + b"\x91" * 100_000, id="messagepack-deeper-than-is-read"),
        pytest.param(b'{"version": %s}' % (b"9" * 5_000), id="a-number-that-nothing-holds"),
    ],
)
def test_what_is_no_record_is_a_bad_one(decode: Callable[[bytes], object], value: bytes) -> None:
    with pytest.raises(BadRecordError):
        decode(value)
