"""The fault suite: ``FAULTS=long`` injects each fault 20 times or more, else a few; ``FAULT_SEED`` repeats a run."""

import os
from collections.abc import Iterator
from typing import Final

import pytest
from faults.report import PROPERTY, SEED
from faults.tally import Tally

LONG: Final = os.environ.get("FAULTS") == "long"


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Iterator[Tally]:
    """Give the account of the fault that the test's ``fault`` marker names: its text, and rounds in the short form."""
    marker = request.node.get_closest_marker("fault")
    assert marker is not None, "a test of the fault suite names its fault: @pytest.mark.fault('…')"
    rounds = marker.kwargs.get("long", 20) if LONG else marker.kwargs.get("fast", 2)
    made = Tally(fault=marker.args[0], seed=SEED, rounds=rounds)
    yield made
    request.node.user_properties.append((PROPERTY, made.account()))
