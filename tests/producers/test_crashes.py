"""Kill the producer or its broker: every line is there in the end, in order, and no position is ahead of its lines."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from journal_postfix.local import EmbeddedBroker
from journal_postfix.topics import make
from producers import logfile, publishing
from schemas.keys import queue_id_of
from schemas.raw import FilePosition
from schemas.settings import KafkaSettings, ProducerSettings, Settings

pytestmark = pytest.mark.kafka

MESSAGES = 30_000

PRODUCE_AND_DIE = """
import os, signal, sys, threading
from pathlib import Path
from producers import logfile
from producers.publishing import Publisher
from schemas.settings import Settings

saved, left = Publisher._saved, [3]

def die_soon(self, error, message):
    saved(self, error, message)
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)

Publisher._saved = die_soon
logfile.run(Settings.model_validate_json(sys.argv[1]), [Path(sys.argv[2])], stop=threading.Event())
"""


def log(messages: int) -> bytes:
    """Return four lines for each message, those of 50 messages mixed."""
    lines = []
    for first in range(0, messages, 50):
        for step in range(4):
            for n in range(first, min(first + 50, messages)):
                minute, second = divmod(n // 100, 60)
                lines.append(
                    b"Nov 23 %02d:%02d:%02d mx1 postfix/smtp[7]: A%09X: step %d\n"
                    % (6 + minute // 60, minute % 60, second, n, step)
                )
    return b"".join(lines)


def steps(written: Any) -> dict[bytes, list[int]]:
    """Return the steps of each message, as they lie in its partition."""
    found: dict[bytes, list[int]] = {}
    for _, batch in written.batches():
        for raw in batch.lines:
            queue_id = queue_id_of(raw.text)
            assert queue_id is not None
            found.setdefault(queue_id, []).append(int(raw.text[-1:]))
    return found


def test_a_killed_producer_loses_nothing_and_its_position_is_never_ahead(
    settings: Settings, written: Any, tmp_path: Path
) -> None:
    file = tmp_path / "mail.log"
    content = log(MESSAGES)
    file.write_bytes(content)
    settings = settings.model_copy(
        update={
            "producer": settings.producer.model_copy(
                update={"position_ms": 10, "batch_lines": 20, "buffer_bytes": 1024 * 1024}
            )
        }
    )
    for _ in range(3):
        command = [sys.executable, "-c", PRODUCE_AND_DIE, settings.model_dump_json(), str(file)]
        ended = subprocess.run(command, env={**os.environ, "PYTHONPATH": "."}, check=False)
        assert ended.returncode == -signal.SIGKILL
        _assert_position_is_not_ahead(written, content)
    assert 0 < written.positions()[-1].position.offset < len(content)

    logfile.run(settings, [file], stop=threading.Event())

    found = steps(written)
    assert len(found) == MESSAGES
    for queue_id, seen in found.items():
        first_of_each = list(dict.fromkeys(seen))
        assert first_of_each == [0, 1, 2, 3], queue_id


def _assert_position_is_not_ahead(written: Any, content: bytes) -> None:
    positions = written.positions()
    position = positions[-1].position
    assert isinstance(position, FilePosition)
    assert content[: position.offset].endswith(b"\n")
    read = {line.partition(b"]: ")[2] for line in content[: position.offset].splitlines()}
    assert read <= set(written.texts())


@pytest.fixture
def own_broker(data_dir: Path) -> Any:
    with EmbeddedBroker(data_dir, Settings()) as broker:
        yield broker


@pytest.fixture
def own_settings(own_broker: Any) -> Settings:
    settings = Settings(
        kafka=KafkaSettings(bootstrap_servers=own_broker.bootstrap_servers, partitions=4),
        producer=ProducerSettings(position_ms=50, host="mx9", timezone="UTC", buffer_bytes=1024 * 1024),
    )
    make(settings)
    return settings


def test_a_broker_that_is_away_for_a_while_costs_no_line_and_no_memory(  # noqa: PLR0917 - fixtures
    own_broker: Any, own_settings: Settings, written_by: Any, background: Any, eventually: Any, tmp_path: Path
) -> None:
    file = tmp_path / "mail.log"
    content = log(20_000)
    file.write_bytes(content[: len(content) // 100])
    written = written_by(own_settings)
    background.start(lambda stop: logfile.run(own_settings, [file], follow=True, stop=stop))
    eventually(written.positions)
    own_broker.kill()
    before = _resident()
    with file.open("ab") as stream:
        stream.write(content[len(content) // 100 :])
    threading.Event().wait(2)
    grown = _resident() - before

    own_broker.start()

    eventually(lambda: len(steps(written)) == 20_000 and all(len(seen) >= 4 for seen in steps(written).values()))
    assert all(seen == [0, 1, 2, 3] for seen in steps(written).values())
    assert background.join().sent == 80_000
    assert written.positions()[-1].position.offset == len(content)
    assert grown < 30 * 1024 * 1024


def test_told_to_stop_while_the_broker_is_away_it_stops_and_the_next_run_has_the_lines(  # noqa: PLR0917 - fixtures
    own_broker: Any,
    own_settings: Settings,
    written_by: Any,
    background: Any,
    eventually: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(publishing, "STOP_SECONDS", 2)
    file = tmp_path / "mail.log"
    content = log(20_000)
    file.write_bytes(content[: len(content) // 100])
    written = written_by(own_settings)
    background.start(lambda stop: logfile.run(own_settings, [file], follow=True, stop=stop))
    eventually(written.positions)
    own_broker.kill()
    with file.open("ab") as stream:
        stream.write(content[len(content) // 100 :])
    threading.Event().wait(1)

    asked = time.monotonic()
    background.join()
    took = time.monotonic() - asked
    own_broker.start()
    logfile.run(own_settings, [file], stop=threading.Event())

    assert took < 5
    assert {queue_id: list(dict.fromkeys(seen)) for queue_id, seen in steps(written).items()} == {
        b"A%09X" % n: [0, 1, 2, 3] for n in range(20_000)
    }


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
