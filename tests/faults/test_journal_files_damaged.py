"""Damaged journal files: what ``journalctl`` can still read of them is read, and all of the others."""

import os
import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from faults.produced import Produced
from faults.tally import Tally

from journal_postfix.topics import make
from producers import journal
from schemas.settings import KafkaSettings, ProducerSettings, Settings

pytestmark = [pytest.mark.kafka, pytest.mark.journald]

MAKER = shutil.which("systemd-journal-remote", path="/usr/lib/systemd:/lib/systemd")
START = 1_763_880_000_000_000
ENTRIES = 400

_ONE_LINE = bytes.maketrans(b"\r\n", b"??")

Damage = Callable[[Tally, bytearray], bytearray]


def overwritten(tally: Tally, data: bytearray) -> bytearray:
    """Put noise into the middle of what is used: where entries and their fields lie."""
    used = len(bytes(data).rstrip(b"\0"))
    at = tally.chance.randrange(used // 2, used)
    length = tally.chance.choice([64, 4096])
    data[at : at + length] = tally.chance.randbytes(length).translate(_ONE_LINE)
    return data


def flipped(tally: Tally, data: bytearray) -> bytearray:
    """Turn bytes over, all over what is used."""
    used = len(bytes(data).rstrip(b"\0"))
    for _ in range(50):
        data[tally.chance.randrange(300, used)] ^= 0xFF
    return data


def cut(tally: Tally, data: bytearray) -> bytearray:
    """Cut the file off."""
    return data[: tally.chance.randrange(len(data))]


def beheaded(tally: Tally, data: bytearray) -> bytearray:
    """Put noise where its header was."""
    data[:300] = tally.chance.randbytes(300)
    return data


DAMAGES: tuple[Damage, ...] = (overwritten, flipped, cut, beheaded)


def entries(first: int) -> bytes:
    """Return entries from number *first* on, in export format."""
    made = []
    for number in range(first, first + ENTRIES):
        text = b"A%09X: message-id=<%s>" % (number, b"x" * (number % 300))
        fields = {
            "__CURSOR": "x", "__REALTIME_TIMESTAMP": START + number * 10_000, "__MONOTONIC_TIMESTAMP": number + 1,
            "_BOOT_ID": "0123456789abcdef0123456789abcdef", "_MACHINE_ID": "abcdef0123456789abcdef0123456789",
            "PRIORITY": 6, "_HOSTNAME": "mx1", "SYSLOG_IDENTIFIER": "postfix/cleanup", "_PID": 77,
        }  # fmt: skip
        head = "\n".join(f"{name}={value}" for name, value in fields.items())
        made.append(head.encode() + b"\nMESSAGE\n" + len(text).to_bytes(8, "little") + text + b"\n\n")
    return b"".join(made)


@pytest.mark.fault("journal file damaged", fast=4, long=24)
def test_what_can_be_read_of_damaged_files_is_read(kafka_settings: KafkaSettings, tally: Tally, tmp_path: Path) -> None:
    if MAKER is None:
        assert os.environ.get("CI") != "true", "no systemd-journal-remote: apt-get install systemd-journal-remote"
        pytest.skip("no systemd-journal-remote")
    settings = Settings(kafka=kafka_settings, producer=ProducerSettings(host="mx9"))
    make(settings)
    whole = tmp_path / "whole"
    whole.mkdir()
    for number, name in enumerate("abc"):
        subprocess.run(
            [MAKER, "-o", whole / f"{name}.journal", "-"],
            input=entries(number * ENTRIES), check=True, capture_output=True,
        )  # fmt: skip
    folders = []
    for number in range(tally.rounds):
        folder = tmp_path / f"damaged{number}"
        shutil.copytree(whole, folder)
        file = folder / f"{tally.chance.choice('abc')}.journal"
        file.write_bytes(DAMAGES[number % len(DAMAGES)](tally, bytearray(file.read_bytes())))
        journal.run(settings, directory=folder, stop=threading.Event())
        folders.append(folder)
        tally.injected += 1

    found = Produced(settings).read()
    found.close()
    readable = 0
    for folder in folders:
        said = subprocess.run(
            ["journalctl", "--quiet", f"--directory={folder}", "--output=cat", "--all", "--no-pager"],
            check=True, capture_output=True,
        ).stdout.splitlines()  # fmt: skip
        readable += len(said)
        texts = [
            raw.text
            for _, batch in found.batches
            if batch.source.endswith(str(folder))
            for raw in batch.lines
            if raw.text
        ]
        tally.compare_counts(folder.name, texts, said)
    tally.notes.append(f"{readable} of {3 * ENTRIES * tally.rounds} entries could still be read")
    tally.settle()
