"""The product, reading a real journal that a real Postfix logs to, says what became of every mail."""

from collections.abc import Callable

import pytest
from lab.comparing import Report, compare
from lab.journald import Journald
from lab.product import Product
from lab.running import Run

pytestmark = [pytest.mark.postfix, pytest.mark.journald]


@pytest.fixture(scope="module")
def product(journald_lab: Run, real_journald: Journald, new_product: Callable[..., Product]) -> Product:
    """The product that has read the journal; `journald_lab` has filled it."""
    assert journald_lab.log
    product = new_product(real_journald.namespace.command)
    product.run("up", "--once", "--journal")
    return product


def _compared(product: Product, run: Run, command: str) -> Report:
    expected = run.truth.deliveries if command == "deliveries" else run.truth.rejects
    return compare(product.rows(command), expected, run.log.decode().splitlines())


@pytest.mark.parametrize("command", ["deliveries", "rejects"])
def test_the_journal_gives_every_row_as_it_was(product: Product, journald_lab: Run, command: str) -> None:
    report = _compared(product, journald_lab, command)
    assert report.wrong == [], str(report)
    assert report.right == report.checked > 0


def test_the_journal_read_on_gives_no_row_twice(product: Product, journald_lab: Run) -> None:
    product.run("up", "--once", "--journal")
    assert _compared(product, journald_lab, "deliveries").wrong == []
