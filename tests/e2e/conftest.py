"""Runs of the real-Postfix lab, their logs, and the product as a command."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from lab import journald, postfix
from lab.journald import Journald
from lab.product import Product
from lab.running import Run, run, run_into

NewProduct = Callable[..., Product]

LAB_SEED = int(os.environ.get("LAB_SEED", "11"))
"""The mix of mail is drawn from it."""
SEEDS = {"short": LAB_SEED, "long": LAB_SEED + 1}
MAILS = 200


def _need(why_not: str) -> None:
    """Fail in CI, where everything must be there; elsewhere skip, and say what is missing."""
    if why_not and os.environ.get("CI") == "true":
        pytest.fail(why_not)
    if why_not:
        pytest.skip(why_not)


@pytest.fixture(scope="session", params=["short", "long"])
def postfix_lab(request: pytest.FixtureRequest) -> Run:
    """A run of the lab that logged to a file, with short and with long queue ids."""
    _need(postfix.why_not())
    return run(SEEDS[request.param], MAILS, long_ids=request.param == "long")


@pytest.fixture(scope="session")
def mail_log(postfix_lab: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run's log file."""
    path = tmp_path_factory.mktemp("log") / "mail.log"
    path.write_bytes(postfix_lab.log)
    return path


@pytest.fixture(scope="session")
def real_journald() -> Iterator[Journald]:
    """A journald of our own."""
    _need(postfix.why_not() or journald.why_not())
    with Journald() as running:
        yield running


@pytest.fixture(scope="session")
def journald_lab(real_journald: Journald) -> Run:
    """A run of the lab that logged to the journal."""
    return run_into(real_journald, 13, MAILS, long_ids=True)


@pytest.fixture(scope="module")
def new_product() -> Iterator[NewProduct]:
    """Make a product whose data folder is new and empty."""
    with ExitStack() as folders:

        def new(inside: Callable[..., list[str]] | None = None) -> Product:
            # PostgreSQL does not run as root: its user must be able to enter the folder, and sockets need short paths.
            folder = Path(tempfile.mkdtemp(prefix="journal-postfix-e2e-"))
            folders.callback(shutil.rmtree, folder)
            folder.chmod(0o711)
            return Product(folder, inside)

        yield new
