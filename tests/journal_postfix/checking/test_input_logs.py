"""What `check` says of the log that a producer is to read."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from journal_postfix.application import application
from journal_postfix.checking.input_logs import log_findings

LINE = "Nov 22 06:00:00 mx1 postfix/qmgr[9]: 4F0A12C9D3: removed\n"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    file = tmp_path / "mail.log"
    file.write_text(LINE)
    file.chmod(0o600)
    return file


@pytest.fixture
def places(tmp_path: Path) -> list[Path]:
    """Give folders as journald has them, one of which holds a journal."""
    pytest.importorskip("systemd.journal", reason="systemd-python is not installed")
    machine = tmp_path / "journal" / "0123456789abcdef"
    machine.mkdir(parents=True)
    (machine / "system.journal").write_bytes(b"LPKSHHRH")
    (machine / "system.journal").chmod(0o600)
    (machine / "user-65534.journal").write_bytes(b"LPKSHHRH")  # one's own, which any user may read
    return [tmp_path / "journal", tmp_path / "none"]


@pytest.fixture
def nobody(tmp_path: Path, log: Path, places: list[Path]) -> Iterator[None]:
    """Be an ordinary user, whom file modes mean, once the files are there."""
    assert log.exists()
    assert places
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents:
        if parent.stat().st_mode & 0o001 == 0:
            parent.chmod(0o711)
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    yield
    os.seteuid(before)


def test_a_log_file_that_can_be_read_is_good(log: Path) -> None:
    [finding] = log_findings([log], journal=False)
    assert (finding.good, finding.text) == (True, f"{log} can be read")


@pytest.mark.usefixtures("nobody")
def test_a_log_file_that_this_user_may_not_read_is_told(log: Path) -> None:
    if log.stat().st_uid == os.geteuid():
        log.chmod(0)
    [finding] = log_findings([log], journal=False)
    assert not finding.good
    assert f"{log} may not be read by this user" in finding.text
    assert "adm" in finding.text


def test_a_log_file_may_yet_come_and_its_folder_may_not(tmp_path: Path) -> None:
    found = list(log_findings([tmp_path / "mail.log", tmp_path / "nowhere" / "mail.log"], journal=False))
    assert [finding.good for finding in found] == [True, False]


def test_the_journal_of_the_system_can_be_read(places: list[Path]) -> None:
    [finding] = log_findings([], journal=True, journals=places)
    assert (finding.good, finding.text) == (True, "the systemd journal can be read")


@pytest.mark.usefixtures("nobody")
def test_a_journal_of_one_s_own_messages_is_not_the_system_s(places: list[Path]) -> None:
    [file] = places[0].glob("*/system.journal")
    if file.stat().st_uid == os.geteuid():
        file.chmod(0)
    [finding] = log_findings([], journal=True, journals=places)
    assert not finding.good
    assert f"{file}: Permission denied" in finding.text
    assert "systemd-journal" in finding.advice


def test_a_host_without_a_journal_is_told(places: list[Path]) -> None:
    [finding] = log_findings([], journal=True, journals=places[1:])
    assert not finding.good
    assert "there is no system*.journal" in finding.text


def test_where_no_log_is_named_one_that_can_be_read_is_enough(log: Path, places: list[Path], tmp_path: Path) -> None:
    def said(*, logs: list[Path], journals: list[Path]) -> list[tuple[bool, str]]:
        return [(f.good, f.text) for f in log_findings([], journal=False, logs=logs, journals=journals)]

    assert [good for good, _ in said(logs=[log, tmp_path / "maillog"], journals=[])] == [True]
    assert [good for good, _ in said(logs=[tmp_path], journals=places)] == [True]
    assert [good for good, _ in said(logs=[tmp_path], journals=[])] == [False]
    (tmp_path / "empty").mkdir()
    [(good, text)] = said(logs=[tmp_path / "maillog"], journals=[tmp_path / "empty"])
    assert (good, "is not known" in text) == (True, True)


def test_the_command_looks_at_the_log_that_it_is_given(tmp_path: Path, free_port: int) -> None:
    arguments = ["check", "--stage=produce", f"--logfile={tmp_path / 'no' / 'mail.log'}"]
    result = CliRunner().invoke(application, [*arguments, f"--bootstrap-servers=127.0.0.1:{free_port}"])
    assert result.exit_code == 1
    assert f"✗ {tmp_path / 'no' / 'mail.log'} does not exist" in result.stdout
