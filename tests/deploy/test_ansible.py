"""The Ansible role: without a fault for its linter, and run twice against this machine, the second time for nothing."""

import getpass
import grp
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from journal_postfix import __version__
from journal_postfix.topics import look
from schemas.settings import DatabaseSettings, KafkaSettings, load
from sinks.connecting import connect

ROOT = Path(__file__).parents[2]
NEEDS_THE_MACHINE = "packages,account,service"
"""Tags of what changes the machine itself: its packages, its accounts, what its systemd runs."""


def run(*command: str | Path, environment: dict[str, str], cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True, timeout=900, check=False)


@pytest.fixture
def deploy(tmp_path: Path) -> Path:
    """Give a copy of deploy/, in which tools may leave what they like."""
    copy = tmp_path / "deploy"
    shutil.copytree(ROOT / "deploy", copy, symlinks=True, ignore=shutil.ignore_patterns(".ansible"))
    return copy / "ansible"


def test_the_linter_finds_no_fault(deploy: Path, tools: Path, tool_environment: dict[str, str]) -> None:
    done = run(tools / "ansible-lint", "--offline", "--strict", environment=tool_environment, cwd=deploy)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Profile 'production' was required, and it passed" in done.stdout + done.stderr


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the product's wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    command = (
        sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir",
        folder, ROOT,
    )  # fmt: skip
    done = run(*command, environment=dict(os.environ))
    assert done.returncode == 0, done.stderr
    [wheel] = folder.glob("journal_postfix-*.whl")
    return wheel


class Host:
    """This machine as a host of Ansible's, all of whose files go into a folder."""

    def __init__(self, folder: Path, deploy: Path, tools: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self._deploy = deploy
        self._tools = tools
        self._environment = environment

    def play(self, tags: tuple[str, ...], variables: dict[str, Any]) -> dict[str, int]:
        """Run the role; return its figures."""
        playbook = self._deploy / "test.yml"
        playbook.write_text(yaml.safe_dump([{"hosts": "localhost", "roles": ["journal_postfix"]}]))
        given = self.folder / "variables.json"
        given.write_text(json.dumps(variables))
        done = run(
            self._tools / "ansible-playbook", "--inventory=localhost,", "--connection=local",
            f"--extra-vars=ansible_python_interpreter={self._tools / 'python'}", f"--extra-vars=@{given}",
            *tags, playbook, environment=self._environment, cwd=self._deploy,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        secret = str(variables["journal_postfix_secrets"]["kafka"])
        assert secret not in done.stdout
        [recap] = [line for line in done.stdout.splitlines() if line.startswith("localhost ")]
        return {name: int(number) for name, _, number in (word.partition("=") for word in recap.split()[2:])}


@pytest.fixture
def host(tmp_path: Path, deploy: Path, tools: Path, tool_environment: dict[str, str]) -> Host:
    folder = tmp_path / "host"
    (folder / "units").mkdir(parents=True)
    return Host(folder, deploy, tools, tool_environment)


@pytest.fixture
def variables(host: Host, wheel: Path, kafka_settings: KafkaSettings, database: DatabaseSettings) -> Any:
    given = database.model_dump(mode="json", exclude_none=True)
    if database.password is not None:
        given["password"] = database.password.get_secret_value()
    return {
        "journal_postfix_stages": ["produce-logfile", "stream", "sink"],
        "journal_postfix_logfiles": ["/var/log/mail.log", "/srv/my-mail/log"],
        "journal_postfix_stream_workers": 2,
        "journal_postfix_wheel": str(wheel),
        "journal_postfix_user": getpass.getuser(),
        "journal_postfix_group": grp.getgrgid(os.getegid()).gr_name,
        "journal_postfix_owner": getpass.getuser(),
        "journal_postfix_python": sys.executable,
        "journal_postfix_home": str(host.folder / "venv"),
        "journal_postfix_etc": str(host.folder / "etc"),
        "journal_postfix_units": str(host.folder / "units"),
        "journal_postfix_manual": str(host.folder / "man1/journal-postfix.1"),
        "journal_postfix_secrets": {"kafka": "s3cret-7f1e"},
        "journal_postfix_make_topics": True,
        "journal_postfix_migrate": True,
        "journal_postfix_sink_roles": [],
        "journal_postfix_reader_roles": ["pg_monitor"],  # a role that every server has
        "journal_postfix_settings": {
            "kafka": {
                "bootstrap_servers": kafka_settings.bootstrap_servers,
                "topic_prefix": kafka_settings.topic_prefix,
                "partitions": kafka_settings.partitions,
            },
            "stream": {"application": f"app-{kafka_settings.topic_prefix}"},
        },
        "journal_postfix_stage_settings": {"sink": {"database": given}, "migrate": {"database": given}},
    }


@pytest.mark.kafka
@pytest.mark.postgres
def test_a_host_is_made_ready_once(host: Host, variables: Any, database: DatabaseSettings) -> None:
    first = host.play((f"--skip-tags={NEEDS_THE_MACHINE}",), variables)
    assert (first["failed"], first["unreachable"]) == (0, 0)
    assert first["changed"] >= 8  # folder, wheel, program, settings, secrets, units, topics, tables
    second = host.play((f"--skip-tags={NEEDS_THE_MACHINE}",), variables)
    assert (second["changed"], second["failed"], second["unreachable"]) == (0, 0, 0)
    assert second["ok"] >= first["ok"] - 1  # it did look at everything

    etc = host.folder / "etc"
    assert sorted(path.name for path in etc.glob("*.yaml")) == [
        "migrate.yaml", "producer.yaml", "sink.yaml", "stream.yaml", "topics.yaml",
    ]  # fmt: skip
    assert {stat.S_IMODE(path.stat().st_mode) for path in etc.rglob("*") if path.is_file()} == {0o640}
    assert (etc / "secrets/kafka").read_text() == "s3cret-7f1e\n"
    sink, producer = load(etc / "sink.yaml"), load(etc / "producer.yaml")
    assert (sink.database.dbname, producer.database.host) == (database.dbname, None)
    assert {change.action for change in look(sink)} == {"keep"}
    connection = connect(database)
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT role, work FROM granted_roles")
        assert cursor.fetchall() == [("pg_monitor", "reader")]
    connection.close()

    unit = (host.folder / "units/journal-postfix-stream@.service").read_text()
    assert f"ExecStart={host.folder}/venv/bin/journal-postfix stream --config {etc}/stream.yaml\n" in unit
    assert f"User={getpass.getuser()}\n" in unit
    assert (host.folder / "man1/journal-postfix.1").read_text().startswith(".TH JOURNAL-POSTFIX 1")
    program = host.folder / "venv/bin/journal-postfix"
    checked = run(program, "check", "--stage=sink", f"--config={etc}/sink.yaml", environment=dict(os.environ))
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_example_installs_the_wheel_that_the_page_makes() -> None:
    [line] = re.findall(r'journal_postfix_wheel: "(.*)"', (ROOT / "deploy/ansible/inventory.example.yml").read_text())
    made = Path(line.replace("{{ inventory_dir }}", str(ROOT / "deploy/ansible"))).resolve()
    assert made == ROOT / f"dist/journal_postfix-{__version__}-py3-none-any.whl"
    page = (ROOT / "docs/deployment.md").read_text(encoding="utf-8")
    assert page.index("pip wheel --no-deps --wheel-dir dist .") < page.index("ansible-playbook")


def test_every_worker_and_log_has_its_unit(deploy: Path, tools: Path, tool_environment: dict[str, str]) -> None:
    playbook = deploy / "test.yml"
    tasks = [
        {"ansible.builtin.include_vars": "roles/journal_postfix/vars/main.yml"},
        {"ansible.builtin.include_vars": "roles/journal_postfix/defaults/main.yml"},
        {
            "ansible.builtin.debug": {
                "msg": "{{ journal_postfix_instances | join(' ') }} extras={{ journal_postfix_extras }}"
            }
        },
    ]
    logs, stages = (
        ["/var/log/mail.log", "/srv/my-mail/log"],
        ["produce-journal", "produce-logfile", "stream", "sink", "up"],
    )
    variables = {
        "journal_postfix_stages": stages,
        "journal_postfix_logfiles": logs,
        "journal_postfix_stream_workers": 2,
    }
    playbook.write_text(yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]))
    done = run(
        tools / "ansible-playbook", "--inventory=localhost,", "--connection=local",
        f"--extra-vars={json.dumps(variables)}", playbook, environment=tool_environment, cwd=deploy,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    escape = shutil.which("systemd-escape")
    names = [
        subprocess.check_output((escape, "--path", log), text=True).strip() if escape else known
        for log, known in zip(logs, ("var-log-mail.log", r"srv-my\x2dmail-log"), strict=True)
    ]
    units = [
        "journal-postfix-produce-journal.service",
        *(f"journal-postfix-produce-logfile@{name}.service" for name in names),
        "journal-postfix-stream@1.service", "journal-postfix-stream@2.service", "journal-postfix-sink@1.service",
        "journal-postfix-up.service",
    ]  # fmt: skip
    assert json.dumps(" ".join(units) + " extras=[embedded,journal]") in done.stdout
