"""The whole pipeline: from a file to committed rows, with the CPU seconds of each process; pflogsumm beside it.

    python bench/pipeline.py [LINES]

Everything runs here: stages, embedded Kafka and PostgreSQL, in a folder of their own.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from logs import lines

LOOK_SECONDS = 0.1
STAGES = ("produce", "stream", "sink", "up")


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
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 460_000
    with tempfile.TemporaryDirectory(prefix="journal-postfix-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        log = folder / "mail.log"
        with log.open("w") as file:
            count = sum(bool(file.write(f"{line}\n")) for line in lines(wanted))
        command = [sys.executable, "-m", "journal_postfix", "up", "--once", "--timezone", "UTC"]
        said, seconds, cpu = watched([*command, "--logfile", str(log), "--data-dir", str(folder / "data")])
        yardstick = None
        if pflogsumm := shutil.which("pflogsumm"):
            began = time.monotonic()
            subprocess.run([pflogsumm, str(log)], stdout=subprocess.DEVNULL, check=True)
            yardstick = time.monotonic() - began
    figures = dict(line.split() for line in said.splitlines() if len(line.split()) == 2)  # noqa: PLR2004 - name, number
    print(f"{count:,} lines in {seconds:.1f} s with start and end; it says {figures.get('lines/s', '?')} lines/s")
    print(f"{'process':12}{'CPU s':>8}{'s per million lines':>22}")
    for part, used in sorted(cpu.items(), key=lambda item: -item[1]):
        print(f"{part:12}{used:>8.1f}{used / count * 1e6:>22.1f}")
    if yardstick is not None:
        print(f"pflogsumm: {yardstick:.1f} s, {count / yardstick:,.0f} lines/s; ratio {seconds / yardstick:.1f}")
    print(f"load average {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
