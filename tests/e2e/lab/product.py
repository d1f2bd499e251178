"""The product as its users see it: a command, with a data folder of its own."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Product:
    """``journal-postfix`` with embedded broker and database."""

    def __init__(self, data_dir: Path, inside: Callable[..., list[str]] | None = None) -> None:
        """Run it *inside* a namespace, if given: the function that makes a command line of words."""
        self._data_dir = data_dir
        self._inside = inside or (lambda *words: list(words))

    def run(self, command: str, *words: str | Path) -> str:
        """Run a command to its end and return what it printed; raises AssertionError if it fails."""
        program = Path(sys.executable).with_name("journal-postfix")
        line = self._inside(*map(str, (program, command, *words, "--data-dir", self._data_dir)))
        done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=600)
        said = f"{done.stdout[-4000:]}\n{done.stderr[-8000:]}"
        assert done.returncode == 0, f"{' '.join(line)} ended with {done.returncode}:\n{said}"
        return done.stdout

    def rows(self, command: str) -> list[dict[str, Any]]:
        """Return all that ``deliveries`` or ``rejects`` prints."""
        return [json.loads(line) for line in self.run(command, "--format", "jsonl", "--limit", "0").splitlines()]
