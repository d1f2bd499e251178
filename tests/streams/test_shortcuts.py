"""A shortcut does what the parser and the merging would do, to the byte; or it leaves the line to them."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from unittest.mock import patch

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.batching import Batching
from producers.clock import Clock
from producers.intake import Intake
from producers.origins import Origins
from producers.relevance import Relevance
from schemas.raw import RawBatch, RawLine, StreamPosition
from schemas.settings import KafkaSettings, Settings, StreamSettings
from schemas.topics import topics_of
from streams import shortcuts, state
from streams.parsing import parse
from streams.parsing.dispatch import FAMILIES
from streams.state import PartitionState, Write

TOPICS = topics_of(KafkaSettings(), StreamSettings())
START = 1_700_000_000_000_000
WAYS = [StreamSettings(), StreamSettings(keep_subject=True), StreamSettings(verp_marker="+")]
CASES = [
    json.loads(line)["text"]
    for file in sorted((Path(__file__).parent / "parsing/cases").glob("*.jsonl"))
    for line in file.read_text(encoding="utf-8").splitlines()
]


@contextmanager
def the_long_way() -> Iterator[None]:
    with patch.object(state, "shortcut_of", lambda *_, **__: None):
        yield


def merged(batches: list[RawBatch], settings: StreamSettings) -> tuple[list[Write], bytes]:
    partition = PartitionState(0, TOPICS, settings)
    writes = []
    for batch in batches:
        partition.merge(batch)
        writes += partition.checkpoint()
    return writes, msgspec.json.encode(partition.progress, order="sorted")


def packaged_log() -> list[RawBatch]:
    made: list[RawBatch] = []
    settings = Settings().producer
    batching = Batching(
        settings,
        1,
        lambda bucket: made.append(
            RawBatch(host=bucket.host, source="s", position=StreamPosition(), lines=list(bucket.lines))
        ),
    )
    intake = Intake(
        clock=Clock(UTC, now=datetime(2026, 11, 25, tzinfo=UTC)),
        batching=batching,
        origins=Origins(batching, Relevance(settings.programs), "mx1"),
        longest=settings.max_line_bytes,
        bury=lambda line, offset: None,  # noqa: ARG005
    )
    intake.take((files("journal_postfix") / "data/sample.log").read_bytes())
    batching.close_all()
    return made


@pytest.mark.parametrize("settings", WAYS, ids=["plain", "subjects", "verp"])
def test_a_log_makes_the_same_rows_by_either_way(settings: StreamSettings) -> None:
    batches = packaged_log()
    short = merged(batches, settings)
    with the_long_way():
        long = merged(batches, settings)
    assert short == long
    assert len(short[0]) > 100


def test_most_lines_of_a_log_take_a_shortcut() -> None:
    batches = packaged_log()
    parsed: list[str] = []

    def parser(program: str, text: str, pid: int, *, subjects: bool) -> object:
        parsed.append(text)
        return parse(program, text, pid, subjects=subjects)

    with patch.object(state, "parse", parser):
        merged(batches, StreamSettings())
    assert len(parsed) < 0.3 * sum(len(batch.lines) for batch in batches)  # it is rich in rare lines


IDS = st.sampled_from(["9D5CB98A3E3", "9D5CB98A3E4", "4STW2c002Nz5Q", "4STW2c002Nz5R", "NOQUEUE", "nothing", "warning"])
ADDRESSES = st.sampled_from(["", "a@x.test", "b@x.test", '"d>d"@x.test', "ü@x.test", "n" * 300 + "@x.test"])
TIMES = st.sampled_from([0, 0, 1, 1_000_000, 2_500_000, 7_000_000, 4_000_000_000, 500_000_000_000, -3_000_000])


def _records(draw: st.DrawFn) -> dict[str, Callable[[], str]]:
    def pick(*values: str) -> str:
        return draw(st.sampled_from(values))

    return {
        "smtp": lambda: (
            f"to=<{draw(ADDRESSES)}>{pick('', ', orig_to=<c@x.test>', ', orig_to=<>')}"
            f", relay={pick('none', 'h[1.2.3.4]:25')}{pick('', ', conn_use=2')}, delay={pick('0.1', '1.2.3', '9' * 20)}"
            f"{pick('', ', delays=0/0/0/1')}{pick('', ', tls=TLS')}{pick('', ', dsn=2.0.0')}"
            f", status={pick('sent', 'deferred', 'bounced', 'SOFTBOUNCE')}{pick('', ' (250 cut')}"
            f"{pick('', ' (250 2.0.0 Ok: queued as 4STW2c002Nz5R)', ' (host h said: 450 4.2.2 full (in reply)')}"
            f"{pick('', ' (forwarded as 9D5CB98A3E4)')}"
        ),
        "qmgr": lambda: pick(
            "removed", "removed ", "removed by hand", f"from=<{draw(ADDRESSES)}>, size=541, nrcpt=1 (queue active)",
            f"from=<{draw(ADDRESSES)}>, size=9, nrcpt=3", "from=<a@x>, status=expired, returned to sender", "from=<a",
        ),
        "cleanup": lambda: pick(
            "message-id=<1@x>", "message-id=", "message-id=<2@x>", f"message-id=<{'m' * 600}>",
            "resent-message-id=<3@x>",
            "info: header Subject: x from h[1.2.3.4]; from=<a@x> to=<b@x> proto=SMTP helo=<h>", "info: header",
            f"hold: header X: y from h[1.2.3.4]; from=<{pick('a@x', 'z@x')}> to=<b@x> proto=SMTP helo=<h>: held",
        ),
        "pickup": lambda: f"uid=0 from=<{draw(ADDRESSES)}>",
        "smtpd": lambda: pick(
            "client=h[1.2.3.4]", "client=unknown[unknown]", "client=h[1.2.3.4]:25", "client=[::1]", "client=h",
            "client=h[1", "client=h[1.2.3.4], sasl_method=PLAIN, sasl_username=u", "client=h[1.2.3.4]x",
        ),
        "postsuper": lambda: pick("removed", "requeued", "placed on hold"),
    }  # fmt: skip


@st.composite
def logs(draw: st.DrawFn) -> list[RawLine]:
    lines = []
    records = _records(draw)
    for number in range(draw(st.integers(1, 25))):
        daemon = draw(st.sampled_from(sorted(records)))
        text = f"{draw(IDS)}: {records[daemon]()}"
        if draw(st.integers(0, 9)) == 0:
            text = draw(
                st.sampled_from(
                    [
                        "connect from h[1.2.3.4]", "disconnect from h[1.2.3.4] ehlo=1 starttls=1",
                        "disconnect from h[::1]", f"warning: {text}", text.replace(": ", ":", 1), text + "\0",
                        *CASES[:: max(1, len(CASES) // 40)],
                    ]
                )
            )  # fmt: skip
        program = f"{draw(st.sampled_from(['postfix', 'out', '']))}/{daemon}".lstrip("/")
        lines.append(RawLine(START + draw(TIMES), program, draw(st.sampled_from([0, 7])), text.encode(), number % 2))
    return lines


@given(logs(), st.sampled_from(WAYS), st.integers(1, 8))
def test_any_lines_make_the_same_rows_by_either_way(lines: list[RawLine], settings: StreamSettings, size: int) -> None:
    batches = [
        RawBatch(host="mx1", source="s", position=StreamPosition(), lines=lines[at : at + size])
        for at in range(0, len(lines), size)
    ]
    short = merged(batches, settings)
    with the_long_way():
        assert short == merged(batches, settings)


@pytest.mark.parametrize("daemon", sorted(FAMILIES))
def test_every_known_line_is_read_alike_by_either_way(daemon: str) -> None:
    texts = [text for text in CASES if len(text) <= shortcuts.LONGEST]
    lines = [RawLine(START + 1000 * n, f"postfix/{daemon}", 7, text.encode(), 0) for n, text in enumerate(texts)]
    batches = [RawBatch(host="mx1", source="s", position=StreamPosition(), lines=lines)] * 2
    short = merged(batches, StreamSettings())
    with the_long_way():
        assert short == merged(batches, StreamSettings())
