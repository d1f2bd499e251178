"""What a replay makes of records, without Kafka and PostgreSQL."""

from journal_postfix.replaying.rows import Rows, halves
from schemas.raw import RawBatch, RawLine, StreamPosition, encode_batch
from schemas.settings import Settings
from schemas.topics import topics_of
from sinks.batches import Batch
from streams.parsing import PARSER

TOPICS = topics_of(Settings().kafka, Settings().stream)
START = 1_763_800_000_000_000
"""2025-11-22 08:26:40 UTC."""


def record(*texts: str, at: int = START) -> bytes:
    lines = [
        RawLine(at, f"postfix/{daemon}", 7, text.encode()) for daemon, _, text in (t.partition(" ") for t in texts)
    ]
    return encode_batch(RawBatch(host="mx1", source="t", position=StreamPosition(), lines=lines))


def rows(oldest: dict[str, str] | None = None) -> Rows:
    return Rows(TOPICS, Settings().stream, oldest or {})


UNDER_WAY = record(
    "smtpd 9D5CB98A3E3: client=c.test[192.0.2.9]",
    "qmgr 9D5CB98A3E3: from=<a@s.test>, size=500, nrcpt=1 (queue active)",
    "smtp 9D5CB98A3E3: to=<b@x.test>, relay=none, delay=1, delays=0/0/0/1, dsn=4.4.1, status=deferred (timeout)",
    "smtpd disconnect from c.test[192.0.2.9]",
    "smtpd words that no Postfix has ever said",
)


def test_every_record_is_a_batch_or_dead_and_every_line_is_one_of_three() -> None:
    taken = rows()
    for partition, value in ((0, UNDER_WAY), (0, b"no batch"), (1, None), (1, UNDER_WAY)):
        taken.take(partition, value)
    counts = taken.counts()
    assert (counts.records, counts.dead_letters, counts.lines) == (4, 2, 10)
    assert (counts.parsed, counts.ignored, counts.unparsed) == (6, 2, 2)


def test_what_is_unfinished_is_written_too_and_says_which_parser_read_it() -> None:
    taken = rows()
    taken.take(0, UNDER_WAY)
    batch = taken.checkpoint()
    [message], [delivery] = batch.messages.values(), batch.deliveries.values()
    assert (message.sender, message.parser, message.older) == ("a@s.test", PARSER, None)
    assert (delivery.status, delivery.parser) == ("deferred", PARSER)
    assert not taken.checkpoint(), "nothing changed since"


def test_what_a_purge_would_take_is_left_out_and_counted() -> None:
    for oldest, kept in (("2025-11-22T08:26:40.000000Z", 2), ("2025-11-23T00:00:00.000000Z", 1)):
        taken = rows({"delivery_to": oldest})
        taken.take(0, UNDER_WAY)
        assert len(taken.checkpoint()) == kept
        assert taken.counts().expired == 2 - kept


def test_a_batch_falls_into_two_halves_that_together_are_the_whole() -> None:
    taken = rows()
    for number in range(5):
        taken.take(0, record(f"smtpd 9D5CB98A3E{number}: client=c.test[192.0.2.9]", at=START + number))
    batch = taken.checkpoint()
    batch.withdrawn["mx1", "9D5CB98A3E9", "2025-11-22T08:26:40.000000Z"] = None
    first, second = halves(batch)
    assert (len(first), len(second)) == (2, 3)
    assert first.messages | second.messages == batch.messages
    assert (first.withdrawn, second.withdrawn) == (batch.withdrawn, {})
    assert [len(half) for half in halves(Batch(messages=first.messages))] == [1, 1]
