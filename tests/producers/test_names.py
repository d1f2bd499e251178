"""Which programs are Postfix's, which files were put aside, which times are meant."""

from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from producers.identity import rotated
from producers.relevance import Relevance
from producers.since import microseconds_of
from schemas.errors import ConfigurationError


@pytest.mark.parametrize(
    ("program", "taken"),
    [
        ("postfix/smtpd", True),
        ("postfix", True),
        ("postfix-out/submission/smtpd", True),
        ("relay/qmgr", True),
        ("out/submission/smtpd", True),
        ("relay/other", False),
        ("smtpd", False),
        ("/smtpd", False),
        ("dovecot", False),
        ("", False),
    ],
)
def test_postfix_programs_are_known_by_pattern_or_daemon(program: str, taken: bool) -> None:  # noqa: FBT001
    assert Relevance(("postfix*",))(program) is taken


def test_files_put_aside_are_found_by_their_names(tmp_path: Path) -> None:
    aside = ["mail.log.1", "mail.log.2.gz", "mail.log-20261123", "mail.log-20261122.xz", "mail.log.2026-11-23T10.zst"]
    for name in ["mail.log", "mail.log.bak", "mail.log.gz", "mail.logs.1", "mail.err.1", "mail.log.1.swp", *aside]:
        (tmp_path / name).touch()

    assert {file.name for file in rotated(tmp_path / "mail.log")} == set(aside)


NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("now", "2026-11-23T12:00:00+00:00"),
        ("2h", "2026-11-23T10:00:00+00:00"),
        ("-90m", "2026-11-23T10:30:00+00:00"),
        ("today", "2026-11-22T23:00:00+00:00"),
        ("Yesterday", "2026-11-21T23:00:00+00:00"),
        ("2026-07-01", "2026-06-30T22:00:00+00:00"),
        ("2026-07-01T10:00:00Z", "2026-07-01T10:00:00+00:00"),
    ],
)
def test_points_in_time_are_read_as_people_type_them(text: str, moment: str) -> None:
    found = microseconds_of(text, now=NOW, zone=ZoneInfo("Europe/Berlin"))

    assert found == datetime.fromisoformat(moment).timestamp() * 1_000_000


@pytest.mark.parametrize("text", ["", "soon", "5", "2026-13-01", "999999w"])
def test_what_is_no_time_is_an_error_with_examples(text: str) -> None:
    with pytest.raises(ConfigurationError, match="give 2026-11-23"):
        microseconds_of(text, now=NOW, zone=None)
