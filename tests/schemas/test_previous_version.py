"""Records that the version before wrote, byte for byte: this one reads them all, and goes on from its state.

``previous.msgpack`` was made by that version out of the first lines of the packaged sample log, with a checkpoint in
the middle. A new version gets a file of its own beside it.
"""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from schemas.dead_letters import decode_dead_letter
from schemas.progress import decode_progress
from schemas.raw import FilePosition, decode_batch, decode_position
from schemas.settings import Settings
from schemas.topics import topics_of
from sinks.batches import Batch
from streams.state import PartitionState

TOPICS = topics_of(Settings().kafka, Settings().stream)
OUTPUTS = (TOPICS.delivery_from.name, TOPICS.delivery_to.name, TOPICS.noqueue.name, TOPICS.tls_session.name)

Record = tuple[str, bytes, bytes | None]


class Previous(msgspec.Struct):
    """What the file holds."""

    raw_before: list[bytes]
    raw_after: list[bytes]
    outputs: list[Record]
    """What the checkpoint wrote for the lines before."""
    changelog: list[tuple[bytes, bytes]]
    progress: bytes
    position: bytes
    dead_letter: bytes


@pytest.fixture(scope="module")
def previous() -> Previous:
    return msgspec.msgpack.decode((Path(__file__).parent / "previous.msgpack").read_bytes(), type=Previous)


def state_after(
    *batches: bytes, changelog: list[tuple[bytes, bytes]] | None = None
) -> tuple[PartitionState, list[Record]]:
    state = PartitionState(0, TOPICS, Settings().stream)
    state.restore(dict(changelog or []))
    for value in batches:
        state.merge(decode_batch(value))
    return state, [(write.topic, write.key, write.value) for write in state.checkpoint()]


def rows(records: list[Record]) -> dict[Any, dict[str, Any]]:
    """Return what a sink would store, without what only this version knows."""
    batch = Batch()
    for topic, key, value in records:
        if topic in OUTPUTS:
            batch.add(TOPICS, topic, key, value)
    later = {
        "parser", "older", "number", "history", "code", "reason", "pid", "reject_reason", "subject", "verp_id",
        "attempted_at",
    }  # fmt: skip
    found = {**batch.messages, **batch.deliveries, **batch.rejections}
    return {
        key: {field: value for field, value in msgspec.to_builtins(row).items() if field not in later}
        for key, row in found.items()
    }


def test_a_stream_stage_goes_on_from_the_state_of_the_one_before(previous: Previous) -> None:
    assert previous.changelog, "some messages are under way"
    upgraded, second = state_after(*previous.raw_after, changelog=previous.changelog)
    fresh, whole = state_after(*previous.raw_before, *previous.raw_after)
    assert rows([*previous.outputs, *second]) == rows(whole)
    assert len(upgraded) == len(fresh)


def test_a_sink_reads_the_rows_of_the_stage_before(previous: Previous) -> None:
    _, same = state_after(*previous.raw_before)
    assert rows(previous.outputs) == rows(same)


def test_counts_positions_and_dead_letters_are_read(previous: Previous) -> None:
    progress = decode_progress(previous.progress)
    assert progress.lines == sum(len(decode_batch(value).lines) for value in previous.raw_before)
    assert progress.lines == progress.parsed + progress.unparsed + sum(progress.ignored.values())
    record = decode_position(previous.position)
    assert isinstance(record.position, FilePosition)
    assert (record.position.offset, record.position.lines) == (7, 9)
    letter = decode_dead_letter(previous.dead_letter)
    assert (letter.stage, letter.partition, letter.offset, letter.value) == ("sink", 1, 7, b"\xff")
