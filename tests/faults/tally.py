"""What a fault did: how often it was injected, and what of the rows was lost, doubled or wrong after it."""

import random
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any


@dataclass
class Tally:
    """The account of one fault. A test makes the fault happen, and compares what it finds with an undisturbed run."""

    fault: str
    seed: int
    rounds: int
    """How often the fault is to be injected: 20 or more in the long form, a few in the short one."""
    injected: int = 0
    lost: int = 0
    doubled: int = 0
    wrong: int = 0
    recoveries: list[float] = field(default_factory=list)
    """Seconds from the end of each fault until a fresh message passed."""
    notes: list[str] = field(default_factory=list)
    """Figures to be printed under the table, e.g. a measured peak of memory."""
    examples: list[str] = field(default_factory=list)
    chance: random.Random = field(init=False)
    """The source of every random moment: the seed is printed, and gives the same moments again."""

    def __post_init__(self) -> None:
        """Begin the sequence that the seed names."""
        self.chance = random.Random(f"{self.seed} {self.fault}")

    def account(self) -> dict[str, Any]:
        """Return what it is made of, but for chance: for another process to make the same."""
        return {part.name: getattr(self, part.name) for part in fields(self) if part.init}

    def recovered(self, seconds: float) -> None:
        """Note how long it took until a fresh message passed."""
        self.recoveries.append(seconds)

    def compare(self, what: str, found: Mapping[Any, object], wanted: Mapping[Any, object]) -> None:
        """Count the rows of *wanted* that are missing or differ, and those found that nobody should have written."""
        lost = [key for key in wanted if key not in found]
        doubled = [key for key in found if key not in wanted]
        wrong = [key for key, value in wanted.items() if key in found and found[key] != value]
        self._note(what, lost, doubled, wrong)

    def compare_counts(self, what: str, found: Iterable[Hashable], wanted: Iterable[Hashable]) -> None:
        """Like `compare`, for rows that have no key: each is to be there as often as it is wanted."""
        have, want = Counter(found), Counter(wanted)
        self._note(what, [*(want - have).elements()], [*(have - want).elements()], [])

    def settle(self) -> None:
        """Fail unless the fault was injected as often as it was meant to be, and cost nothing."""
        assert self.injected >= self.rounds, f"{self.fault}: injected {self.injected} times, not {self.rounds}"
        assert (self.lost, self.doubled, self.wrong) == (0, 0, 0), f"seed {self.seed}\n" + "\n".join(self.examples)

    def _note(self, what: str, lost: list[Any], doubled: list[Any], wrong: list[Any]) -> None:
        self.lost += len(lost)
        self.doubled += len(doubled)
        self.wrong += len(wrong)
        for name, keys in (("lost", lost), ("doubled", doubled), ("wrong", wrong)):
            if keys:
                self.examples.append(f"{what}: {len(keys)} {name}, e.g. {keys[:3]}")


def table(tallies: list[Tally]) -> list[str]:
    """Return the suite's report: a line for each fault, its notes below, and a line of totals at the end."""
    width = max([len(tally.fault) for tally in tallies] + [5])
    head = f"{'fault':{width}}  injected  lost  doubled  wrong  recovery s (median, worst)"
    lines = [head, "-" * len(head)]
    for tally in tallies:
        times = sorted(tally.recoveries)
        recovery = f"{times[len(times) // 2]:.1f}, {times[-1]:.1f}" if times else "-"
        lines.append(
            f"{tally.fault:{width}}  {tally.injected:8}  {tally.lost:4}  {tally.doubled:7}  {tally.wrong:5}  {recovery}"
        )
        lines += [f"{'':{width}}  {note}" for note in tally.notes]
    injected, lost = sum(t.injected for t in tallies), sum(t.lost for t in tallies)
    doubled, wrong = sum(t.doubled for t in tallies), sum(t.wrong for t in tallies)
    lines.append(f"{len(tallies)} faults, {injected} injections: {lost} lost, {doubled} doubled, {wrong} wrong")
    return lines
