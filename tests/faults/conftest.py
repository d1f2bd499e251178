"""The fault suite: ``FAULTS=long`` injects each fault 20 times or more, else a few; ``FAULT_SEED`` repeats a run."""

import os
import random
from collections.abc import Iterator
from typing import Final

import pytest
from faults.tally import Tally, table

LONG: Final = os.environ.get("FAULTS") == "long"
# Where tests run in several processes, the first of them chooses for all.
SEED: Final = int(os.environ.setdefault("FAULT_SEED", str(random.SystemRandom().randrange(1_000_000))))

_PROPERTY: Final = "tally"
_tallies: Final[list[Tally]] = []


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Iterator[Tally]:
    """Give the account of the fault that the test's ``fault`` marker names: its text, and rounds in the short form."""
    marker = request.node.get_closest_marker("fault")
    assert marker is not None, "a test of the fault suite names its fault: @pytest.mark.fault('…')"
    rounds = marker.kwargs.get("long", 20) if LONG else marker.kwargs.get("fast", 2)
    made = Tally(fault=marker.args[0], seed=SEED, rounds=rounds)
    yield made
    request.node.user_properties.append((_PROPERTY, made.account()))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Take the account of a fault from the report of its test, which may come from another process."""
    if report.when == "teardown":
        _tallies.extend(Tally(**account) for name, account in report.user_properties if name == _PROPERTY)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what every fault cost."""
    if _tallies:
        terminalreporter.section(f"faults (FAULT_SEED={SEED})")
        for line in table(_tallies):
            terminalreporter.write_line(line)
