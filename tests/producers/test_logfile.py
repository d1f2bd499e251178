"""Log files against a real broker: what is sent, what is refused, where reading goes on."""

import bz2
import gzip
import lzma
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from producers import logfile
from schemas.errors import ConfigurationError
from schemas.keys import key_of, partition_of
from schemas.raw import FilePosition
from schemas.settings import KafkaSettings, Settings

pytestmark = pytest.mark.kafka


def line(number: int, text: str = "", *, program: str = "postfix/smtpd", pid: int = 7) -> bytes:
    minute, second = divmod(number, 60)
    text = text or f"A{number:09X}: client=a[1.2.3.4]"
    return f"Nov 23 06:{minute:02}:{second:02} mx1 {program}[{pid}]: {text}\n".encode()


def log(*numbers: int) -> bytes:
    return b"".join(line(number) for number in numbers)


def texts(*numbers: int) -> list[bytes]:
    return [f"A{number:09X}: client=a[1.2.3.4]".encode() for number in numbers]


def read(settings: Settings, *files: Path, **options: Any) -> Any:
    return logfile.run(settings, files, stop=threading.Event(), **options)


COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "": lambda data: data,
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".bz2": bz2.compress,
    ".zst": zstandard.ZstdCompressor().compress,
}


@pytest.mark.parametrize("suffix", COMPRESSORS)
def test_every_line_of_a_file_is_sent_once_however_it_is_compressed(
    settings: Settings, written: Any, tmp_path: Path, suffix: str
) -> None:
    file = tmp_path / f"mail.log{suffix}"
    compress = COMPRESSORS[suffix]
    file.write_bytes(
        compress(log(*range(300))) + (compress(log(*range(300, 600))) if suffix else log(*range(300, 600)))
    )

    summary = read(settings, file)

    assert written.texts() == texts(*range(600))
    assert (summary.lines, summary.sent, summary.ignored, summary.dead, summary.skipped) == (600, 600, 0, 0, 0)


@pytest.mark.parametrize("suffix", COMPRESSORS)
def test_a_second_run_sends_only_what_came_after_the_first(
    settings: Settings, written: Any, tmp_path: Path, suffix: str
) -> None:
    file = tmp_path / f"mail.log{suffix}"
    file.write_bytes(COMPRESSORS[suffix](log(*range(50))))
    read(settings, file)
    file.write_bytes(COMPRESSORS[suffix](log(*range(60))))

    summary = read(settings, file)

    assert written.texts() == texts(*range(60))
    assert (summary.lines, summary.skipped) == (10, 50)


def test_lines_lie_in_the_partition_of_their_key_with_the_position_behind_them(
    settings: Settings, written: Any, tmp_path: Path
) -> None:
    file = tmp_path / "mail.log"
    file.write_bytes(log(*range(2000)))

    read(settings, file)

    size = file.stat().st_size
    before: dict[int, int] = {}
    for partition, batch in written.batches():
        assert batch.host == "mx1"
        assert batch.source == f"mx9:file:{file}"
        assert isinstance(batch.position, FilePosition)
        assert before.get(partition, 0) < batch.position.offset <= size
        before[partition] = batch.position.offset
        assert 1 <= len(batch.lines) <= settings.producer.batch_lines
        for raw in batch.lines:
            assert partition_of(key_of("mx1", raw.program, raw.pid, raw.text), 4) == partition
            end = file.read_bytes().index(raw.text) + len(raw.text) + 1
            assert end <= batch.position.offset


def test_several_files_are_read_in_order_as_sources_of_their_own(
    settings: Settings, written: Any, tmp_path: Path
) -> None:
    first, second = tmp_path / "mail.log.1.gz", tmp_path / "mail.log"
    first.write_bytes(gzip.compress(log(*range(10))))
    second.write_bytes(log(*range(10, 20)))

    summary = read(settings, first, second)

    assert written.texts() == texts(*range(20))
    assert summary.sent == 20
    assert {record.source for record in written.positions()} == {f"mx9:file:{first}", f"mx9:file:{second}"}


def test_a_year_that_is_given_goes_on_from_file_to_file_over_new_year(
    settings: Settings, written: Any, tmp_path: Path
) -> None:
    first, second = tmp_path / "a.log", tmp_path / "b.log"
    first.write_bytes(b"Dec 31 23:59:59 mx1 postfix/qmgr[1]: one\n")
    second.write_bytes(b"Jan  1 00:00:00 mx1 postfix/qmgr[1]: two\n")

    read(settings, first, second, year=2019)

    assert [raw.time for raw in written.lines()] == [1577836799_000000, 1577836800_000000]


def test_lines_of_other_programs_are_counted_and_not_sent(settings: Settings, written: Any, tmp_path: Path) -> None:
    file = tmp_path / "syslog"
    file.write_bytes(
        line(1) + line(2, "Started x", program="systemd") + line(3, "AB12CD34EF: spam", program="opendkim") + b"noise\n"
    )

    summary = read(settings, file)

    assert [(raw.program, raw.text) for raw in written.lines()] == [
        ("postfix/smtpd", texts(1)[0]),
        ("opendkim", b"AB12CD34EF: spam"),
        ("", b"noise"),
    ]
    assert (summary.lines, summary.sent, summary.ignored) == (4, 3, 1)
    assert written.positions()[-1].position.ignored == 1


def test_a_line_that_is_too_long_becomes_a_dead_letter(settings: Settings, written: Any, tmp_path: Path) -> None:
    file = tmp_path / "mail.log"
    long = b"Nov 23 06:00:02 mx1 postfix/smtpd[7]: " + b"x" * 70_000
    huge = b"Nov 23 06:00:02 mx1 postfix/smtpd[7]: " + b"y" * 3_000_000
    file.write_bytes(line(1) + long + b"\n" + line(2) + huge + b"\n" + line(3))

    summary = read(settings, file)

    assert written.texts() == texts(1, 2, 3)
    assert (summary.lines, summary.sent, summary.dead) == (5, 3, 2)
    first, second = written.dead_letters()
    assert (first.value, first.length, first.offset) == (long, len(long), len(line(1)))
    assert (second.value, second.length) == (huge[:262_144], len(huge))
    assert second.offset == len(line(1)) + len(long) + 1 + len(line(2))
    assert first.stage == "producer"


def test_a_last_line_without_newline_is_a_line_and_is_sent_again_once_it_is_whole(
    settings: Settings, written: Any, tmp_path: Path
) -> None:
    file = tmp_path / "mail.log"
    file.write_bytes(log(1) + line(2)[:-8])

    assert read(settings, file).sent == 2
    assert read(settings, file).lines == 0
    file.write_bytes(log(1, 2, 3))
    assert read(settings, file).sent == 2

    assert written.texts() == [*texts(1), texts(2)[0][:-7], *texts(2), *texts(3)]


def test_identical_lines_of_a_second_are_numbered_alike_after_stopping_amid_them(
    settings: Settings, written: Any, tmp_path: Path
) -> None:
    file = tmp_path / "mail.log"
    reject = line(5, "NOQUEUE: reject: RCPT from a[1.2.3.4]: 450 4.7.1 x")
    file.write_bytes(line(1) + reject * 3)
    read(settings, file)
    file.write_bytes(line(1) + reject * 5 + line(6))

    read(settings, file)

    assert [raw.number for raw in written.lines()] == [0, 0, 1, 2, 3, 4, 0]


@pytest.mark.parametrize("aside", ["mail.log.1", "mail.log.1.gz", "mail.log-20261123", "mail.log.2026-11-23.zst"])
def test_what_was_left_of_a_file_that_was_rotated_meanwhile_is_read_first(
    settings: Settings, written: Any, tmp_path: Path, aside: str
) -> None:
    file = tmp_path / "mail.log"
    file.write_bytes(log(*range(10)))
    read(settings, file)
    compress = COMPRESSORS.get(Path(aside).suffix, COMPRESSORS[""])
    file.unlink()
    (tmp_path / aside).write_bytes(compress(log(*range(15))))
    file.write_bytes(log(*range(15, 20)))

    summary = read(settings, file)

    assert written.texts() == texts(*range(20))
    assert summary.lines == 10
    assert written.positions()[-1].position.lines == 20


def test_all_files_of_several_rotations_are_read(settings: Settings, written: Any, tmp_path: Path) -> None:
    file = tmp_path / "mail.log"
    file.write_bytes(log(*range(10)))
    read(settings, file)
    file.write_bytes(log(*range(15)))
    file.rename(tmp_path / "mail.log.2")
    (tmp_path / "mail.log.1").write_bytes(log(*range(15, 20)))
    file.write_bytes(log(*range(20, 25)))

    read(settings, file)

    assert written.texts() == texts(*range(25))


def test_a_file_with_other_text_at_the_same_path_is_read_from_its_beginning(
    settings: Settings, written: Any, tmp_path: Path
) -> None:
    file = tmp_path / "mail.log"
    file.write_bytes(log(1, 2, 3))
    read(settings, file)
    file.write_bytes(log(4))

    read(settings, file)

    assert written.texts() == texts(1, 2, 3, 4)


def test_new_year_between_the_anchor_and_the_position_is_seen_again(
    settings: Settings, written: Any, tmp_path: Path
) -> None:
    file = tmp_path / "mail.log"
    old = b"Dec 31 23:59:59 mx1 postfix/qmgr[1]: one\nJan  1 00:00:00 mx1 postfix/qmgr[1]: two\n"
    file.write_bytes(old)
    read(settings, file, year=2019)
    file.write_bytes(old + b"Jan  1 00:00:01 mx1 postfix/qmgr[1]: three\n")

    read(settings, file)

    assert written.lines()[-1].time == 1577836801_000000


def test_the_second_of_two_equal_hours_is_known_again_after_stopping_in_it(
    settings: Settings, written: Any, tmp_path: Path
) -> None:
    settings = settings.model_copy(
        update={"producer": settings.producer.model_copy(update={"timezone": "Europe/Berlin"})}
    )
    file = tmp_path / "mail.log"
    stamps = ["01:59:00", "02:10:00", "02:50:00", "02:10:00", "02:11:00", "02:12:00"]
    lines = [f"Oct 25 {stamp} mx1 postfix/qmgr[1]: A{n:09X}: removed\n".encode() for n, stamp in enumerate(stamps)]
    file.write_bytes(b"".join(lines[:5]))
    read(settings, file, year=2026)
    file.write_bytes(b"".join(lines))

    read(settings, file, year=2026)

    first = written.lines()[0].time
    assert [(raw.time - first) // 60_000_000 for raw in written.lines()] == [0, 11, 51, 71, 72, 73]


REFUSED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty"),
    "binary": (bytes(range(256)) * 100, "is a binary file"),
    "prose": (b"Dear Sir,\nI write to you.\n", "does not look like a mail log"),
    "cut off": (gzip.compress(log(*range(2000)))[:40], "is cut off"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_is_no_log_is_refused_before_anything_is_sent(
    settings: Settings, written: Any, tmp_path: Path, name: str
) -> None:
    content, reason = REFUSED[name]
    good, bad = tmp_path / "good.log", tmp_path / "bad.log"
    good.write_bytes(log(1))
    bad.write_bytes(content)

    with pytest.raises(ConfigurationError, match=reason) as caught:
        read(settings, good, bad)

    assert str(bad) in str(caught.value)
    assert written.batches() == []


def test_a_folder_and_a_missing_file_are_refused(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is a directory: name the log files in it"):
        read(settings, tmp_path)
    with pytest.raises(ConfigurationError, match="does not exist: check its name"):
        read(settings, tmp_path / "mail.log")


def test_another_programs_log_is_an_error_after_it_was_read(settings: Settings, written: Any, tmp_path: Path) -> None:
    file = tmp_path / "auth.log"
    file.write_bytes(line(1, "session opened", program="sshd") * 5)

    with pytest.raises(ConfigurationError, match=f"no Postfix line among 5 lines of {file}"):
        read(settings, file)

    assert written.batches() == []


@pytest.mark.parametrize("suffix", [suffix for suffix in COMPRESSORS if suffix])
def test_what_is_readable_of_a_damaged_file_is_sent_before_the_error(
    settings: Settings, written: Any, tmp_path: Path, suffix: str
) -> None:
    file = tmp_path / f"mail.log{suffix}"
    whole = COMPRESSORS[suffix]
    content = whole(log(*range(1000))) + whole(log(*range(1000, 3000)))[:-30]
    file.write_bytes(content)

    with pytest.raises(ConfigurationError, match=r"cannot be read to its end.*cut off"):
        read(settings, file)

    sent = written.texts()
    assert len(sent) >= 1000
    assert sent == texts(*range(len(sent)))


def test_files_that_come_after_a_damaged_one_are_named_as_not_read(
    settings: Settings, written: Any, tmp_path: Path
) -> None:
    damaged, later, last = (tmp_path / name for name in ("mail.log.2.gz", "mail.log.1", "mail.log"))
    damaged.write_bytes(gzip.compress(log(*range(1000)))[:-30])
    later.write_bytes(log(2000))
    last.write_bytes(log(2001))

    with pytest.raises(ConfigurationError, match=rf"after it was not read: {later}, {last}$"):
        read(settings, damaged, later, last)

    assert not {*texts(2000, 2001)} & {*written.texts()}


def test_progress_ends_at_the_size_of_the_files(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "mail.log"
    file.write_bytes(log(*range(3000)))
    seen: list[Any] = []

    read(settings, file, on_progress=seen.append)

    size = file.stat().st_size
    assert (seen[-1].lines, seen[-1].bytes_done, seen[-1].bytes_total) == (3000, size, size)


def test_missing_topics_are_an_error_that_says_what_to_do(kafka_settings: KafkaSettings, tmp_path: Path) -> None:
    file = tmp_path / "mail.log"
    file.write_bytes(log(1))

    with pytest.raises(ConfigurationError, match="make the topics with `journal-postfix topics`"):
        read(Settings(kafka=kafka_settings), file)
