"""The fault suite's report, also of tests that ran in other processes. A plugin: those load no other conftest.py."""

import os
import random
from typing import Final

import pytest
from faults.tally import Tally, table

# The first process chooses for all.
SEED: Final = int(os.environ.setdefault("FAULT_SEED", str(random.SystemRandom().randrange(1_000_000))))
PROPERTY: Final = "tally"
"""Of a test's report: the account of its fault."""

_tallies: Final[list[Tally]] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Take the account of a fault from the report of its test."""
    if report.when == "teardown":
        _tallies.extend(Tally(**account) for name, account in report.user_properties if name == PROPERTY)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what every fault cost."""
    if _tallies:
        terminalreporter.section(f"faults (FAULT_SEED={SEED})")
        for line in table(_tallies):
            terminalreporter.write_line(line)
