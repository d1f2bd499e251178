"""Partitions are raised amid a log: messages whose lines go to two partitions come out as they would from one."""

import os
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

LINES = (files("journal_postfix") / "data/sample.log").read_text(encoding="utf-8").splitlines(keepends=True)

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]


class Installation:
    """A log, and what reads it, in a folder."""

    def __init__(self, data_dir: Path, log: Path) -> None:
        self.data_dir, self.log = data_dir, log
        self.partitions = 4

    def run(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "journal_postfix", *arguments, "--data-dir", str(self.data_dir)],
            env={**os.environ, "JOURNAL_POSTFIX_KAFKA__PARTITIONS": str(self.partitions)},
            text=True, capture_output=True, timeout=180, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def read(self, lines: list[str]) -> None:
        self.log.write_text("".join(lines), encoding="utf-8")
        self.run("up", "--once", "--timezone", "UTC", "--logfile", str(self.log))

    def rows(self) -> list[str]:
        everything = ("--format", "jsonl", "--limit", "0", "--since", "2020-01-01")
        return [*self.run("deliveries", *everything).splitlines(), *self.run("rejects", *everything).splitlines()]


def test_nothing_changes_when_partitions_are_raised_amid_the_log(data_dir: Path, tmp_path: Path) -> None:
    whole = Installation(data_dir / "whole", tmp_path / "mail.log")
    whole.read(LINES)
    expected = whole.rows()
    raised = Installation(data_dir / "raised", tmp_path / "mail.log")
    raised.read(LINES[: len(LINES) // 2])
    raised.partitions = 8
    assert "more partitions" in raised.run("topics", "--more-partitions", "--yes")
    raised.read(LINES)
    assert sorted(raised.rows()) == sorted(expected)
    assert len(expected) > 100
