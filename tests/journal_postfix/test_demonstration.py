"""The commands that the demonstration names at its end can be copied as they stand."""

import sys
from pathlib import Path

import pytest

from journal_postfix.demonstration import _called


def _program(folder: Path) -> Path:
    folder.mkdir()
    file = folder / "journal-postfix"
    file.write_text("#!/bin/sh\n")
    file.chmod(0o755)
    return file


def test_a_program_that_the_shell_does_not_find_is_named_as_it_was_called(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    here, elsewhere = _program(tmp_path / "my venv"), _program(tmp_path / "elsewhere")
    for path, called, named in (
        (here.parent, here, "journal-postfix"),
        (tmp_path, here, f"'{here}'"),
        (elsewhere.parent, here, f"'{here}'"),
        (tmp_path, Path("journal_postfix/__main__.py"), "journal-postfix"),
    ):
        monkeypatch.setenv("PATH", str(path))
        monkeypatch.setattr(sys, "argv", [str(called), "demo"])
        assert _called() == named
