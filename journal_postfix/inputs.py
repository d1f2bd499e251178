"""What ``up`` reads, and the stages that this takes."""

import os
import shutil
import sys
from pathlib import Path
from typing import Final

import msgspec

from journal_postfix.supervision.environment import environment_of
from journal_postfix.supervision.stage import Stage
from producers.checks import check_all
from schemas.errors import ConfigurationError
from schemas.settings import Settings

MAIL_LOGS: Final = (Path("/var/log/mail.log"), Path("/var/log/maillog"))
JOURNALS: Final = (Path("/var/log/journal"), Path("/run/log/journal"))


class Inputs(msgspec.Struct, frozen=True, kw_only=True):
    """Where lines come from."""

    files: tuple[Path, ...] = ()
    journal: bool = False
    stdin: bool = False
    year: int | None = None

    def given(self) -> bool:
        """Tell whether there is any."""
        return bool(self.files or self.journal or self.stdin)

    def check(self, *, follow: bool) -> None:
        """Look at the files before anything is started. Raises ConfigurationError for what can't be read."""
        if self.files:
            check_all(self.files, follow=follow)

    def described(self) -> str:
        """Return them for a message."""
        names = [str(file) for file in self.files]
        if self.journal:
            names.append("the systemd journal")
        if self.stdin:
            names.append("standard input")
        return ", ".join(names)


def default_inputs(logs: tuple[Path, ...] = MAIL_LOGS, journals: tuple[Path, ...] = JOURNALS) -> Inputs:
    """Return this host's mail log or else its journal. Raises ConfigurationError where there is neither."""
    for log in logs:
        if log.is_file() and os.access(log, os.R_OK):
            return Inputs(files=(log,))
    if shutil.which("journalctl") and any(journal.is_dir() for journal in journals):
        return Inputs(journal=True)
    names = " or ".join(map(str, logs))
    raise ConfigurationError(
        f"nothing to read: there is no {names} that you may read, and no systemd journal. "
        "Give --logfile FILE, --journal or --stdin; `journal-postfix demo` needs no log"
    )


def stages_of(settings: Settings, inputs: Inputs, *, follow: bool) -> list[Stage]:
    """Return the stages in the order of the flow: producers (one for each kind of input), stream, sink."""
    program = (sys.executable, "-m", "journal_postfix")
    following = ("--follow",) if follow else ()
    year = () if inputs.year is None else ("--year", str(inputs.year))
    producers: dict[str, tuple[str, ...]] = {}
    if inputs.files:
        producers["logfile"] = (*year, *following, "--", *(str(file.absolute()) for file in inputs.files))
    if inputs.journal:
        producers["journal"] = following
    if inputs.stdin:
        producers["stdin"] = ()
    stages = [
        *(
            Stage(
                name=f"produce-{kind}",
                command=(*program, "produce", kind, "--report", *flags),
                environment={},
                finite=not follow or kind == "stdin",
                restart=kind != "stdin",  # what it had taken from the pipe and not sent is gone with it
                reads_stdin=kind == "stdin",
            )
            for kind, flags in producers.items()
        ),
        Stage(name="stream", command=(*program, "stream"), environment={}, stop_seconds=30),
        Stage(name="sink", command=(*program, "sink"), environment={}, stop_seconds=30),
    ]
    return [
        msgspec.structs.replace(stage, environment=environment_of(_of_stage(settings, number), os.environ))
        for number, stage in enumerate(stages)
    ]


def _of_stage(settings: Settings, number: int) -> Settings:
    """Return the settings of a stage: each serves its metrics at a port of its own, the same in every run."""
    metrics = settings.metrics
    if metrics.port:
        metrics = metrics.model_copy(update={"port": min(metrics.port + number, 65_535)})
    return settings.model_copy(update={"log_format": "json", "metrics": metrics})
