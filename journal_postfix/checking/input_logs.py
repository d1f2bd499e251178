"""What ``check`` says of the log that a producer is to read: may this user read it."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from journal_postfix.checking.finding import Finding
from journal_postfix.inputs import JOURNALS, MAIL_LOGS
from producers.checks import check_all
from producers.journal_files import system_journals, unreadable_journal
from producers.journal_reader import open_reader
from schemas.errors import ConfigurationError


def log_findings(
    files: Sequence[Path], *, journal: bool, logs: Sequence[Path] = MAIL_LOGS, journals: Sequence[Path] = JOURNALS
) -> Iterator[Finding]:
    """Yield whether the *files* and the *journal* can be read; where neither is asked for: what of the usual can."""
    if files or journal:
        yield from map(_file, files)
        if journal:
            yield _journal(journals)
        return
    found = [*(_file(log) for log in logs if log.exists())]
    if system_journals(journals):
        found.append(_journal(journals))
    readable = [finding for finding in found if finding.good]
    if readable or found:
        yield from readable or found
    else:
        yield Finding(
            "log",
            good=True,
            text=f"there is no {' or '.join(map(str, logs))} and no systemd journal: which log to look at is not known",
            advice="to have it looked at: --logfile FILE or --journal",
        )


def _file(file: Path) -> Finding:
    try:
        check_all([file], follow=True)
    except ConfigurationError as error:
        return Finding("log", good=False, text=str(error))
    there = "can be read" if file.exists() else "is not there yet, and its folder is"
    return Finding("log", good=True, text=f"{file} {there}")


def _journal(places: Sequence[Path]) -> Finding:
    try:
        open_reader(None, None).close()
    except ConfigurationError as error:
        return Finding("log", good=False, text=str(error))
    if reason := unreadable_journal(places):
        return Finding(
            "log",
            good=False,
            text=f"the systemd journal can not be read by this user: {reason}",
            advice="run as root or as a member of group systemd-journal",
        )
    return Finding("log", good=True, text="the systemd journal can be read")
