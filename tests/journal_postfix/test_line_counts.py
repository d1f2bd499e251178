"""``stats``: the sums over all partitions, and what a terminal shows of them."""

from datetime import UTC, datetime

import msgspec
import pytest
from confluent_kafka import Producer

from journal_postfix import topics as broker_topics
from journal_postfix.line_counts import LineCounts, read_counts, summed
from journal_postfix.rendering.line_counts import count_lines
from schemas.errors import ConfigurationError
from schemas.progress import Progress, UnknownLines
from schemas.settings import KafkaSettings, Settings
from schemas.topics import topics_of

FIRST = Progress(
    partition=0, lines=10, parsed=6, unparsed=2, ignored={"tls": 1, "connection": 1}, dead_letters=1,
    unknown={"smtpd": UnknownLines(count=2, samples=["what", "is"])}, hosts={"mx1": 5_000_000, "mx2": 1_000_000},
)  # fmt: skip
SECOND = Progress(
    partition=1, lines=5, parsed=1, unparsed=1, ignored={"connection": 3},
    unknown={"smtpd": UnknownLines(count=1, samples=["is", "\x1b[31mthis"])}, hosts={"mx1": 7_000_000},
)  # fmt: skip


def test_partitions_are_summed_and_samples_are_not_repeated() -> None:
    assert summed([FIRST, SECOND]) == LineCounts(
        lines=15,
        parsed=7,
        ignored={"connection": 4, "tls": 1},
        unparsed=3,
        unknown={"smtpd": UnknownLines(count=3, samples=["what", "is", "\x1b[31mthis"])},
        dead_letters=1,
        hosts={"mx2": 1_000_000, "mx1": 7_000_000},
    )


def test_a_terminal_gets_lines_that_fit_and_no_escape_sequences() -> None:
    counts = summed([FIRST, SECOND])
    counts.unknown["smtpd"].samples.append("x" * 500)

    lines = [line.plain for line in count_lines(counts, 60, datetime(2026, 11, 23, tzinfo=UTC))]

    assert max(map(len, lines)) <= 60
    assert not any("\x1b" in line for line in lines)
    assert lines[0].split() == ["lines", "15", "100.0%"]
    assert any(line.split()[:2] == ["smtpd", "3"] for line in lines)
    assert any("␛[31mthis" in line for line in lines)


def test_many_hosts_are_cut_with_a_word() -> None:
    counts = LineCounts(hosts={f"mx{n}": n for n in range(30)})

    assert "10 more hosts" in [*count_lines(counts, 80, datetime(2026, 11, 23, tzinfo=UTC))][-1].plain


@pytest.mark.kafka
def test_the_latest_record_of_each_partition_counts(kafka_settings: KafkaSettings) -> None:
    settings = Settings(kafka=kafka_settings)
    with pytest.raises(ConfigurationError, match="journal-postfix topics"):
        read_counts(settings)
    broker_topics.make(settings)
    topic = topics_of(settings.kafka, settings.stream).progress.name
    producer = Producer({"bootstrap.servers": kafka_settings.bootstrap_servers})
    for progress in (Progress(partition=0, lines=1, parsed=1), FIRST, SECOND):
        producer.produce(topic, msgspec.json.encode(progress), str(progress.partition).encode())
    assert producer.flush(10) == 0

    assert read_counts(settings) == summed([FIRST, SECOND])
