"""Which programs are Postfix's, which files were put aside."""

from pathlib import Path

import pytest

from producers.relevance import Relevance
from producers.rotation import put_aside


@pytest.mark.parametrize(
    ("program", "taken"),
    [
        ("postfix/smtpd", True),
        ("postfix", True),
        ("postfix-out/submission/smtpd", True),
        ("relay/qmgr", True),
        ("out/submission/smtpd", True),
        ("relay/other", False),
        ("cyrus/lmtp", False),
        ("cyrus/master", False),
        ("cyrus-out/lmtp", True),
        ("smtpd", False),
        ("/smtpd", False),
        ("dovecot", False),
        ("", False),
    ],
)
def test_postfix_programs_are_known_by_pattern_or_daemon(program: str, taken: bool) -> None:  # noqa: FBT001
    assert Relevance(("postfix*",))(program) is taken


def test_a_pattern_takes_what_is_another_s_by_its_name() -> None:
    assert Relevance(("cyrus/*",))("cyrus/lmtp")


def test_files_put_aside_are_found_by_their_names(tmp_path: Path) -> None:
    aside = ["mail.log.1", "mail.log.2.gz", "mail.log-20261123", "mail.log-20261122.xz", "mail.log.2026-11-23T10.zst"]
    for name in ["mail.log", "mail.log.bak", "mail.log.gz", "mail.logs.1", "mail.err.1", "mail.log.1.swp", *aside]:
        (tmp_path / name).touch()

    assert {file.name for file in put_aside(tmp_path / "mail.log")} == set(aside)
