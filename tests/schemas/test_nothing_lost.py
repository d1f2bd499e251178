"""Every producer of the product asks for what keeps each record once and in order."""

import ast
from collections.abc import Iterator
from pathlib import Path

from schemas.kafka import NOTHING_LOST

ROOT = Path(__file__).parents[2]
STAGES = ("producers", "streams", "sinks", "journal_postfix", "web", "schemas")
REHEARSAL = ROOT / "journal_postfix/local/class_cache.py"
"""Writes what nobody reads."""


def producers() -> Iterator[tuple[Path, ast.Call]]:
    """Yield where a producer is made, and how."""
    for stage in STAGES:
        for path in (ROOT / stage).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Producer":
                    yield path, node


def test_each_has_what_keeps_all() -> None:
    found = [(path, node) for path, node in producers() if path != REHEARSAL]
    assert len(found) >= 4
    for path, node in found:
        names = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
        assert "NOTHING_LOST" in names, f"{path}:{node.lineno}"


def test_no_request_overtakes_one_that_is_refused() -> None:
    assert NOTHING_LOST["max.in.flight.requests.per.connection"] == 1
    assert NOTHING_LOST["enable.idempotence"] is True
