"""The tools that check what is in deploy/: none of the product's, so they have a virtual environment of their own."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest

from journal_postfix.local.locks import locked

ROOT = Path(__file__).parents[2]
_KEPT = ROOT / ".cache" / "deploy-tools"
_SECONDS = 900


@pytest.fixture(scope="session")
def tools() -> Path:
    """Give the folder of the programs of tools.txt, which are installed once for each version of that file."""
    wanted = Path(__file__).with_name("tools.txt")
    name = hashlib.sha256(wanted.read_bytes() + sys.version.encode()).hexdigest()[:16]
    folder = _KEPT / name
    with _alone():
        if not (folder / "complete").exists():
            commands = (
                (sys.executable, "-m", "venv", "--clear", folder),
                (folder / "bin/python", "-m", "pip", "install", "--quiet", "--requirement", wanted),
            )
            for command in commands:
                done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
                if done.returncode:
                    _missing(f"{wanted.name} can't be installed: {done.stderr.strip().splitlines()[-1]}")
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


@pytest.fixture(scope="session")
def promtool() -> Path:
    """Give Prometheus' checker of rules: this machine's, or Debian's, unpacked here.

    The package is not installed, for that would start a server and open its port.
    """
    if (found := shutil.which("promtool")) is not None:
        return Path(found)
    kept = _KEPT / "promtool"
    with _alone():
        if not kept.exists():
            with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
                try:
                    _unpack_debian_package("prometheus", Path(folder))
                except (OSError, subprocess.SubprocessError) as error:
                    _missing(f"no promtool: {getattr(error, 'stderr', None) or error}")
                (Path(folder) / "unpacked/usr/bin/promtool").rename(kept)
    return kept


@contextmanager
def _alone() -> Iterator[None]:
    """Let no other of the processes that run tests install what this one does."""
    _KEPT.mkdir(parents=True, exist_ok=True)
    with locked(_KEPT / "lock", _SECONDS):
        yield


def _missing(reason: str) -> NoReturn:
    """Skip what needs something that can't be had here; in CI that is a failure."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def _unpack_debian_package(name: str, folder: Path) -> None:
    """Unpack it into *folder*/unpacked; ask for the archive's lists first where this machine has none."""

    def run(*command: str) -> None:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=300)

    for part in ("lists/partial", "cache/archives/partial"):
        (folder / part).mkdir(parents=True)
    own = [f"-oDir::State::lists={folder}/lists", f"-oDir::Cache={folder}/cache", "-oAPT::Sandbox::User="]
    try:
        run("apt-get", "--quiet=2", own[-1], "download", name)
    except subprocess.CalledProcessError:
        run("apt-get", "--quiet=2", *own, "update")
        run("apt-get", "--quiet=2", *own, "download", name)
    [package] = folder.glob(f"{name}_*.deb")
    run("dpkg-deb", "--extract", package.name, "unpacked")
