"""The product, fed with a real Postfix's log, says what became of every mail: nothing missing, nothing else."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lab.comparing import compare
from lab.product import Product
from lab.running import Run

pytestmark = pytest.mark.postfix

Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def product(mail_log: Path, new_product: Callable[[], Product]) -> Product:
    """The product that has read the run's log."""
    product = new_product()
    product.run("up", "--once", "--logfile", mail_log)
    return product


@pytest.fixture(scope="module")
def deliveries(product: Product) -> Rows:
    """What it says of the mail."""
    return product.rows("deliveries")


@pytest.fixture(scope="module")
def rejects(product: Product) -> Rows:
    """What it says of the mail that was refused without a queue id."""
    return product.rows("rejects")


def test_every_delivery_is_told_as_it_was(postfix_lab: Run, deliveries: Rows) -> None:
    report = compare(deliveries, postfix_lab.truth.deliveries, postfix_lab.log.decode().splitlines())
    assert report.wrong == [], str(report)
    assert report.right == report.checked > 0


def test_every_rejection_is_told_as_it_was(postfix_lab: Run, rejects: Rows) -> None:
    report = compare(rejects, postfix_lab.truth.rejects, postfix_lab.log.decode().splitlines())
    assert report.wrong == [], str(report)
    assert report.right == report.checked > 0


def test_the_log_fed_again_changes_nothing(
    product: Product, mail_log: Path, deliveries: Rows, rejects: Rows, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.log"
    copy.write_bytes(mail_log.read_bytes())
    told = product.run("up", "--once", "--logfile", copy)
    assert re.search(rf"^lines\s+{len(copy.read_bytes().splitlines())}\b", told, re.MULTILINE), told
    assert product.rows("deliveries") == deliveries
    assert product.rows("rejects") == rejects


def test_a_log_read_in_two_runs_gives_the_rows_of_one(
    mail_log: Path, new_product: Callable[[], Product], deliveries: Rows, rejects: Rows, tmp_path: Path
) -> None:
    lines = mail_log.read_bytes().splitlines(keepends=True)
    growing, product = tmp_path / "mail.log", new_product()
    for written in (lines[: len(lines) // 2], lines):
        growing.write_bytes(b"".join(written))
        product.run("up", "--once", "--logfile", growing)
    assert product.rows("deliveries") == deliveries
    assert product.rows("rejects") == rejects
