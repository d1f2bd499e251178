"""The tools that check what is in deploy/: none of the product's, so they have a virtual environment of their own."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def tools() -> Path:
    """Give the folder of the programs of tools.txt, which are installed once for each version of that file."""
    wanted = Path(__file__).with_name("tools.txt")
    name = hashlib.sha256(wanted.read_bytes() + sys.version.encode()).hexdigest()[:16]
    folder = ROOT / ".cache" / "deploy-tools" / name
    if not (folder / "complete").exists():
        commands = (
            (sys.executable, "-m", "venv", "--clear", folder),
            (folder / "bin/python", "-m", "pip", "install", "--quiet", "--requirement", wanted),
        )
        for command in commands:
            done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
            if done.returncode:
                pytest.skip(f"{wanted.name} can't be installed: {done.stderr.strip().splitlines()[-1]}")
        (folder / "complete").touch()
    return folder / "bin"


@pytest.fixture(scope="session")
def tool_environment(tools: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Give an environment in which the tools keep what they write to themselves."""
    home = tmp_path_factory.mktemp("tools-home")
    return {
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(home),
        "ANSIBLE_HOME": str(home / ".ansible"),
        "ANSIBLE_NOCOLOR": "1",
        "LANG": "C.UTF-8",
    }
