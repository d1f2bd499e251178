"""The whole pipeline: from a file to committed rows, with the CPU seconds of each process; pflogsumm beside it.

    python bench/pipeline.py [--lines N]

Everything runs here: stages, embedded Kafka and PostgreSQL, in a folder of their own.
"""

import shutil
import subprocess
import sys
import time

import psutil
from figures import Figures, arguments
from running import folder, write_log

LOOK_SECONDS = 0.1
_LEAST = 0.1
"""CPU seconds of a process that is worth a line."""


def name_of(process: psutil.Process) -> str:
    """Return which part of the pipeline *process* is."""
    words = process.cmdline()
    if "journal_postfix" in words:
        return words[words.index("journal_postfix") + 1]
    return process.name().partition(":")[0]


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


def main() -> None:
    """Measure and print."""
    options = arguments(__doc__ or "", seed=(1, "seed of the log"), lines=(1_000_000, "lines of the log"))
    figures = Figures(options)
    with folder() as path:
        log = path / "mail.log"
        count = write_log(log, options.lines, options.seed)
        command = [sys.executable, "-m", "journal_postfix", "up", "--once", "--timezone", "UTC"]
        said, seconds, cpu = watched([*command, "--logfile", str(log), "--data-dir", str(path / "data")])
        yardstick = None
        if pflogsumm := shutil.which("pflogsumm"):
            began = time.monotonic()
            subprocess.run([pflogsumm, str(log)], stdout=subprocess.DEVNULL, check=True)
            yardstick = ("pflogsumm", count / (time.monotonic() - began))
            figures.add("pflogsumm", yardstick[1], "lines/s")
    told = dict(line.split() for line in said.splitlines() if len(line.split()) == 2)  # noqa: PLR2004 - name, number
    figures.add("file to committed rows, as it says", float(told["lines/s"]), "lines/s", yardstick)
    figures.add("with the start and end of all parts", count / seconds, "lines/s", yardstick)
    for part, used in sorted(cpu.items(), key=lambda item: -item[1]):
        if used / count * 1e6 >= _LEAST:
            figures.add(f"CPU of {part}", used / count * 1e6, "s per million lines")
    figures.close()


if __name__ == "__main__":
    main()
