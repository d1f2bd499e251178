"""What a dead letter keeps of a record."""

from schemas.dead_letters import letter_of
from schemas.deliveries import encode_record
from schemas.topics import MAX_VALUE_BYTES


def test_a_letter_is_never_too_large_for_its_topic() -> None:
    large = b"\xff" * 1024 * 1024
    letter = letter_of("stream", "\1" * 1_000_000, "t" * 249, 2**31, 2**63, large, large)
    assert len(encode_record(letter)) < MAX_VALUE_BYTES
    assert letter.length == len(large)
