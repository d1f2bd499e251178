"""Whether a line costs the same however many workers share the partitions: the stream stage with 1, 2 and 4 of them.

    python bench/scaling.py [--lines N]

The wall time can only grow with the cores; what must not grow is the CPU time of a line. Each is compared with one
worker over 8 partitions, in the same run; the yardstick is measured at the beginning and at the end, since machines
are not always equally fast.
"""

from statistics import mean
from typing import Final

from figures import Figures, arguments
from running import folder, kafka, produce, write_log
from stream import measure

WORLDS: Final = ((1, 8), (2, 8), (4, 8), (1, 16), (2, 16), (4, 16), (1, 8))
"""Workers and partitions."""


def main() -> None:
    """Measure and print."""
    options = arguments(__doc__ or "", seed=(1, "seed of the log"), lines=(460_000, "lines of the log"))
    figures = Figures(options)
    found = []
    with folder() as path:
        count = write_log(path / "mail.log", options.lines, options.seed)
        for number, (workers, partitions) in enumerate(WORLDS):
            place = path / str(number)
            place.mkdir()
            with kafka(place, partitions) as settings:
                produce(settings, path / "mail.log")
                found.append(measure(settings, count, workers))
                figures.say(f"{workers} workers, {partitions} partitions: done")
    yardstick = mean((found[0][1], found[-1][1]))
    for (workers, partitions), (rate, cpu, memory) in zip(WORLDS, found, strict=True):
        name = f"{workers} workers, {partitions} partitions"
        figures.add(name, rate, "lines/s")
        figures.add("  CPU", cpu, "s per million lines", ("one worker", yardstick))
        figures.add("  memory", memory, "MB")
    figures.close()


if __name__ == "__main__":
    main()
