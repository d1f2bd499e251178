"""Keys and partitions are those of every other Kafka client."""

import pytest
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.partitioner import murmur2 as aiokafka_murmur2
from hypothesis import given
from hypothesis import strategies as st

from schemas.keys import key_of, murmur2, partition_of, queue_id_of


@given(st.binary(max_size=64))
def test_murmur2_is_kafkas(data: bytes) -> None:
    assert murmur2(data) == aiokafka_murmur2(data) & 0xFFFFFFFF


@pytest.mark.parametrize(
    ("data", "expected"),
    [(b"21", -973932308), (b"foobar", -790332482), (b"a-little-bit-long-string", -985981536)],
)
def test_murmur2_is_that_of_the_java_clients_own_tests(data: bytes, expected: int) -> None:
    assert murmur2(data) == expected & 0xFFFFFFFF


@given(st.binary(max_size=64), st.integers(1, 1000))
def test_a_partition_is_that_which_another_client_chooses(key: bytes, partitions: int) -> None:
    everyone = list(range(partitions))
    assert partition_of(key, partitions) == DefaultPartitioner()(key, everyone, everyone)


@pytest.mark.parametrize(
    ("text", "queue_id"),
    [
        (b"9D5CB98A3E3: removed", b"9D5CB98A3E3"),
        (b"4XyZ1b2c3dz5Q: removed", b"4XyZ1b2c3dz5Q"),
        (b"warning: 9D5CB98A3E3: sender notification failed", b"9D5CB98A3E3"),
        (b"NOQUEUE: reject: x", None),
        (b"connect from x[192.0.2.1]", None),
        (b"DEAD: too short for an id", None),
        (b"statistics: max", None),
        (b"\xff\xfe", None),
        (b"", None),
    ],
)
def test_a_line_names_its_queue_id_first(text: bytes, queue_id: bytes | None) -> None:
    assert queue_id_of(text) == queue_id


def test_the_lines_of_a_message_have_one_key_and_others_that_of_their_process() -> None:
    assert key_of("mx1", "postfix/smtp", 5, b"9D5CB98A3E3: to=<a>") == b"mx1/9D5CB98A3E3"
    assert key_of("mx1", "postfix/smtpd", 5, b"connect from x") == b"mx1/postfix/smtpd[5]"
