"""The systemd units are valid, hardened, start commands that exist, and wait for what a stage says of itself."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from journal_postfix.application import application

UNITS = Path(__file__).parents[2] / "deploy" / "systemd"
SERVICES = sorted(path.name for path in UNITS.glob("*.service"))
RUNNING = [name for name in SERVICES if "-purge." not in name]
STAGES = [name for name in RUNNING if "-up." not in name]
PROGRAM = "/opt/journal-postfix/bin/journal-postfix"
NEWER_THAN_252 = ("RestartSteps", "RestartMaxDelaySec")


def service(name: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    section = ""
    for line in (UNITS / name).read_text().splitlines():
        if line.startswith("["):
            section = line
        elif section == "[Service]" and "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


@pytest.fixture(scope="session")
def analyze() -> str:
    command = shutil.which("systemd-analyze")
    if command is None:
        reason = "systemd-analyze is not installed"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    return command


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_systemd_understands_every_unit(analyze: str, tmp_path: Path) -> None:
    installed = Path(sys.executable).with_name("journal-postfix")
    for path in UNITS.glob("journal-postfix*"):
        if path.suffix in {".service", ".target", ".timer"}:
            (tmp_path / path.name).write_text(path.read_text().replace(PROGRAM, str(installed)))
    assert len(list(tmp_path.iterdir())) == len(SERVICES) + 2
    done = run(analyze, "verify", "--man=no", *sorted(tmp_path.iterdir()))
    said = [line for line in done.stderr.splitlines() if not any(f"'{key}'" in line for key in NEWER_THAN_252)]
    assert (done.returncode, said) == (0, [])


def test_a_fault_in_a_unit_would_be_found(analyze: str, tmp_path: Path) -> None:
    broken = tmp_path / "broken.service"
    broken.write_text((UNITS / SERVICES[0]).read_text().replace("Type=notify", "Type=nonsense"))
    assert "nonsense" in run(analyze, "verify", "--man=no", broken).stderr


@pytest.mark.parametrize("name", SERVICES)
def test_a_stage_has_no_rights_that_it_does_not_need(analyze: str, name: str) -> None:
    """systemd's own score, in tenths: 0 is safe, 100 unsafe; a plain unit has 96."""
    done = run(analyze, "security", "--offline=true", "--no-pager", "--threshold=20", UNITS / name)
    assert done.returncode == 0, done.stdout.splitlines()[-1]


@pytest.mark.parametrize("name", SERVICES)
def test_its_command_exists(name: str) -> None:
    unit = service(name)
    for command in (*unit["ExecStart"], *unit.get("ExecStartPre", [])):
        program, *words = command.split()
        assert program == PROGRAM
        arguments = [word for word in words if not word.startswith(("/", "%", "$"))]
        arguments.remove("--config")
        result = CliRunner().invoke(application, [*arguments, "--help"])
        assert (result.exit_code, "Usage: " in result.output) == (0, True), result.output


@pytest.mark.parametrize("name", STAGES)
def test_its_settings_are_checked_with_its_own_rights_before_it_starts(name: str) -> None:
    unit = service(name)
    [before], [start] = unit["ExecStartPre"], unit["ExecStart"]
    stage = re.search(r"--stage (\w+)", before)
    assert stage is not None
    assert start.split()[1] == stage[1]
    assert before.split()[-2:] == start.split()[-2:]  # --config FILE


@pytest.mark.parametrize("name", RUNNING)
def test_it_is_started_again_but_not_with_wrong_settings(name: str) -> None:
    unit = service(name)
    assert unit["Type"] == ["notify"]
    assert unit["WatchdogSec"] == ["3min"]
    assert unit["Restart"] == ["on-failure"]
    assert unit["RestartPreventExitStatus"] == ["2"]
    assert unit["User"] == ["journal-postfix"]
    assert "WantedBy=journal-postfix.target" in (UNITS / name).read_text()
    assert "PartOf=journal-postfix.target" in (UNITS / name).read_text()


def test_old_mail_is_purged_every_day(analyze: str) -> None:
    timer = (UNITS / "journal-postfix-purge.timer").read_text()
    [calendar] = re.findall(r"^OnCalendar=(.*)$", timer, re.MULTILINE)
    done = run(analyze, "calendar", "--base-time=2026-11-24 12:00:00", "--iterations=2", calendar)
    assert re.findall(r"2026-11-2\d 03:17:00", done.stdout)[-2:] == ["2026-11-25 03:17:00", "2026-11-26 03:17:00"]
    assert service("journal-postfix-purge.service")["Type"] == ["oneshot"]


def test_the_page_tells_of_every_unit_and_installs_it() -> None:
    page = (UNITS.parents[1] / "docs/deployment.md").read_text(encoding="utf-8")
    names = {path.name for path in UNITS.iterdir()} - {"journal-postfix-purge.service", "journal-postfix.sysusers.conf"}
    assert [name for name in sorted(names) if f"`{name}`" not in page] == []
    [install] = re.findall(r"^install .*/etc/systemd/system/$", page, re.MULTILINE)
    patterns = [Path(word).name for word in install.split() if word.startswith("deploy/")]
    installed = {path.name for pattern in patterns for path in UNITS.glob(pattern)}
    assert installed == {path.name for path in UNITS.iterdir()} - {"journal-postfix.sysusers.conf"}


def test_the_user_is_made(tmp_path: Path) -> None:
    program = shutil.which("systemd-sysusers")
    if program is None:
        pytest.skip("systemd-sysusers is not installed")
    (tmp_path / "etc").mkdir()
    done = run(program, f"--root={tmp_path}", UNITS / "journal-postfix.sysusers.conf")
    assert done.returncode == 0, done.stderr
    [entry] = [line for line in (tmp_path / "etc/passwd").read_text().splitlines() if line.startswith("journal-")]
    assert entry.split(":")[0] == "journal-postfix"
    assert entry.split(":")[5:] == ["/var/lib/journal-postfix", "/usr/sbin/nologin"]


_WRITES_NO_CODE = """
import ctypes, mmap, sys
if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0):  # PR_SET_MDWE, what MemoryDenyWriteExecute= uses
    sys.exit(77)
try:
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    sys.exit("this kernel allows it all the same")
except PermissionError:
    pass
import asyncio, uvloop
from confluent_kafka import Producer
import aiokafka, cramjam, psycopg2, producers.journal, producers.logfile, sinks.worker, streams.worker
Producer({"bootstrap.servers": "127.0.0.1:1", "log_level": 0})
uvloop.new_event_loop().run_until_complete(asyncio.sleep(0.01))
"""


def test_no_stage_makes_machine_code_as_it_runs() -> None:
    done = run(sys.executable, "-c", _WRITES_NO_CODE)
    if done.returncode == 77:
        pytest.skip("this kernel can't refuse it (Linux 6.3 can)")
    assert done.returncode == 0, done.stderr
