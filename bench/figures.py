"""What a benchmark says: figures with their ratio to something measured in the same run, as a table or as JSON.

Every benchmark takes ``--json``; then standard output holds one JSON document, and what else is said goes to standard
error.
"""

import argparse
import json
import os
import platform
import sys
from typing import Any, Final

import msgspec

_WIDTHS: Final = (42, 14, 26, 9)


class Figure(msgspec.Struct, frozen=True):
    """One measured figure."""

    name: str
    value: float
    unit: str
    ratio: float | None = None
    """To what `of` names; above 1 is more."""
    of: str | None = None


class Figures:
    """Collects the figures of one benchmark."""

    def __init__(self, options: argparse.Namespace) -> None:
        """Print as *options* (of `arguments`) say."""
        self._json: bool = options.json
        self._options = {name: value for name, value in vars(options).items() if name != "json"}
        self._figures: list[Figure] = []

    def add(self, name: str, value: float, unit: str, yardstick: tuple[str, float] | None = None) -> None:
        """Add a figure; *yardstick* is the name and the value of what it is compared with."""
        of, measure = yardstick or (None, 0.0)
        ratio = value / measure if measure else None
        self._figures.append(Figure(name, value, unit, ratio, of if measure else None))
        if not self._json:
            self._print(self._figures[-1])

    def say(self, text: str) -> None:
        """Say what goes on."""
        print(text, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Print the JSON document, if that is wanted, and under what load all of it was measured."""
        load = os.getloadavg()[0]
        if self._json:
            about: dict[str, Any] = {
                "options": self._options,
                "python": platform.python_version(),
                "cores": len(os.sched_getaffinity(0)),
                "load_average": round(load, 2),
                "figures": [msgspec.to_builtins(figure) for figure in self._figures],
            }
            print(json.dumps(about, indent=2))
        else:
            print(f"load average {load:.1f}")

    @staticmethod
    def _print(figure: Figure) -> None:
        value = f"{figure.value:,.0f}" if abs(figure.value) >= 100 else f"{figure.value:,.2f}"  # noqa: PLR2004 - digits
        ratio = f"{figure.ratio:.2f} of {figure.of}" if figure.ratio is not None else ""
        name, number, unit, _ = _WIDTHS
        print(f"{figure.name:<{name}}{value:>{number}} {figure.unit:<{unit}}{ratio}".rstrip(), flush=True)


def arguments(about: str, **numbers: tuple[int, str]) -> argparse.Namespace:
    """Return the options of a benchmark that has those of `parser_of` only."""
    return parser_of(about, **numbers).parse_args()


def parser_of(about: str, **numbers: tuple[int, str]) -> argparse.ArgumentParser:
    """Return what reads the options of a benchmark: *numbers*, with a default and a meaning each, and ``--json``."""
    parser = argparse.ArgumentParser(description=about.partition("\n")[0])
    for name, (default, meaning) in numbers.items():
        parser.add_argument(
            f"--{name.replace('_', '-')}", type=int, default=default, metavar="N", help=f"{meaning} ({default:,})"
        )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser
