"""The whole pipeline: from a file to committed rows, with the CPU seconds of each process; pflogsumm beside it.

    python bench/pipeline.py [--lines N]

Everything runs here: stages, embedded Kafka and PostgreSQL, in a folder of their own. It runs twice, with a log of some
thousand lines first: what that takes is start and end, and the rest is what each further line takes.
"""

import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import psutil
from figures import Figures, arguments
from running import folder, write_log

LOOK_SECONDS = 0.1
_LITTLE = 10_000
"""Lines of the log that shows what start and end take."""
_LEAST = 0.1
"""CPU seconds of a process that is worth a line."""


def name_of(process: psutil.Process) -> str:
    """Return which part of the pipeline *process* is."""
    words = process.cmdline()
    if "journal_postfix" in words:
        return words[words.index("journal_postfix") + 1]
    return process.name().partition(":")[0]


class Run(NamedTuple):
    """A log that went through the whole pipeline."""

    log: Path
    lines: int
    said: float
    """Seconds from reading to committed rows, as the command says."""
    seconds: float
    """From the command's start to its end."""
    cpu: dict[str, float]
    """CPU seconds by process."""


def watched(command: list[str]) -> tuple[str, float, dict[str, float]]:
    """Run *command*; return what it printed, the seconds, and the CPU seconds of its processes by name."""
    cpu: dict[int, tuple[str, float]] = {}
    began = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        root = psutil.Process(process.pid)
        while process.poll() is None:
            for one in [root, *root.children(recursive=True)]:
                try:
                    times = one.cpu_times()
                    cpu[one.pid] = (name_of(one), times.user + times.system)
                except psutil.Error:
                    continue
            time.sleep(LOOK_SECONDS)
        assert process.stdout is not None
        said = process.stdout.read()
    sums: dict[str, float] = {}
    for name, seconds in cpu.values():
        sums[name] = sums.get(name, 0) + seconds
    return said, time.monotonic() - began, sums


def run(path: Path, lines: int, seed: int) -> Run:
    """Let a log of that many *lines* through a pipeline of its own."""
    log = path / f"{lines}.log"
    count = write_log(log, lines, seed)
    command = [sys.executable, "-m", "journal_postfix", "up", "--once", "--timezone", "UTC"]
    said, seconds, cpu = watched([*command, "--logfile", str(log), "--data-dir", str(path / f"data-{lines}")])
    told = dict(line.split() for line in said.splitlines() if len(line.split()) == 2)  # noqa: PLR2004 - name, number
    return Run(log, count, float(told["seconds"]), seconds, cpu)


def main() -> None:
    """Measure and print."""
    options = arguments(__doc__ or "", seed=(1, "seed of the log"), lines=(1_000_000, "lines of the log"))
    figures = Figures(options)
    with folder() as path:
        little, much = run(path, _LITTLE, options.seed), run(path, options.lines, options.seed)
        yardstick = None
        if pflogsumm := shutil.which("pflogsumm"):
            began = time.monotonic()
            subprocess.run([pflogsumm, str(much.log)], stdout=subprocess.DEVNULL, check=True)
            yardstick = ("pflogsumm", much.lines / (time.monotonic() - began))
            figures.add("pflogsumm", yardstick[1], "lines/s")
    more = much.lines - little.lines
    figures.add("file to committed rows, as it says", much.lines / much.said, "lines/s", yardstick)
    figures.add("with the start and end of all parts", much.lines / much.seconds, "lines/s", yardstick)
    figures.add("each further line", more / (much.said - little.said), "lines/s", yardstick)
    for part, used in sorted(much.cpu.items(), key=lambda item: -item[1]):
        if used / much.lines * 1e6 >= _LEAST:
            figures.add(f"CPU of {part}", used / much.lines * 1e6, "s per million lines")
            figures.add("  each further line", (used - little.cpu.get(part, 0)) / more * 1e6, "s per million lines")
    figures.close()


if __name__ == "__main__":
    main()
