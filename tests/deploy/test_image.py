"""The Dockerfile is without a fault for its linter."""

import subprocess
from pathlib import Path

import pytest

DOCKERFILE = Path(__file__).parents[2] / "Dockerfile"


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        (("", ""), None),
        (("FROM python:3.12-slim\n", "FROM python\n"), "DL3006"),
        (("WORKDIR /tmp", "WORKDIR tmp"), "DL3000"),
    ],
    ids=["as it is", "without a version", "in some folder"],
)  # fmt: skip
def test_the_linter_finds_what_is_wrong_and_nothing_else(
    changed: tuple[str, str], fault: str | None, tools: Path, tool_environment: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "Dockerfile"
    file.write_text(DOCKERFILE.read_text().replace(*changed) if fault else DOCKERFILE.read_text())
    done = subprocess.run(
        [tools / "hadolint", "--no-color", file], env=tool_environment,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode == 0) is (fault is None), done.stdout + done.stderr
    assert fault is None or fault in done.stdout
