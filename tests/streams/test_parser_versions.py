"""Messages under way while the stage gets another parser: of two readings the newer counts, whichever is last."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from schemas.deliveries import DeliveryFrom, decode_delivery_from
from schemas.raw import RawBatch, RawLine, StreamPosition
from schemas.settings import Settings
from schemas.topics import topics_of
from streams import messages, outputs, shortcuts, state
from streams.parsing import PARSER
from streams.state import PartitionState

TOPICS = topics_of(Settings().kafka, Settings().stream)
CLIENT, ID, ACTIVE = (
    "smtpd client=c.test[192.0.2.9]",
    "cleanup message-id=<1@s.test>",
    "qmgr from=<{}>, size=5, nrcpt=1 (queue active)",
)


@contextmanager
def parser(version: int) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for module in (messages, outputs, shortcuts, state):
            patch.setattr(module, "PARSER", version)
        yield


def run(version: int, changelog: dict[bytes, bytes], *texts: str) -> tuple[dict[bytes, bytes], DeliveryFrom]:
    """Let a stage with that parser go on from *changelog*; return what it leaves there, and the message's row."""
    lines = [
        RawLine(1_763_800_000_000_000, f"postfix/{daemon}", 7, f"9D5CB98A3E3: {text}".encode())
        for daemon, _, text in (each.partition(" ") for each in texts)
    ]
    with parser(version):
        stage = PartitionState(0, TOPICS, Settings().stream)
        stage.restore(changelog)
        stage.merge(RawBatch(host="mx1", source="t", position=StreamPosition(), lines=lines))
        writes = stage.checkpoint()
    stored = {write.key: write.value for write in writes if write.topic == TOPICS.changelog.name and write.value}
    [row] = [decode_delivery_from(w.value) for w in writes if w.topic == TOPICS.delivery_from.name and w.value]
    return stored, row


@pytest.mark.parametrize("wrong", ["zzz@s.test", "a"])
def test_a_newer_parser_replaces_what_an_older_one_read(wrong: str) -> None:
    stored, row = run(PARSER - 1, {}, CLIENT, ID, ACTIVE.format(wrong))
    assert (row.sender, row.parser, row.older) == (wrong, PARSER - 1, None)
    _, row = run(PARSER, stored, ACTIVE.format("m@s.test"))
    assert (row.sender, row.message_id, row.parser) == ("m@s.test", "1@s.test", PARSER)
    assert row.older is not None
    assert set(row.older.split()) == {
        f"{field}:{PARSER - 1}"
        for field in ("client_address", "client_name", "instance", "message_id", "pid", "service")
    }


def test_an_older_parser_changes_nothing_that_a_newer_one_read_and_fills_in_what_is_missing() -> None:
    stored, _ = run(PARSER, {}, CLIENT, ACTIVE.format("m@s.test"))
    _, row = run(PARSER - 1, stored, ID, ACTIVE.format("zzz@s.test"))
    assert (row.sender, row.message_id, row.parser) == ("m@s.test", "1@s.test", PARSER)
    assert row.older == f"message_id:{PARSER - 1}"


def test_lines_read_by_the_newest_parser_alone_leave_no_mark_of_an_older_one() -> None:
    stored, _ = run(PARSER - 1, {}, CLIENT, ID)
    _, row = run(PARSER, stored, CLIENT, ID, ACTIVE.format("m@s.test"), "qmgr removed")
    assert (row.parser, row.older) == (PARSER, None)
    assert row.removed_at is not None
