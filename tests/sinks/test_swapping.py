"""A second set that names somebody who is withheld is refused, and nothing of it comes into the live tables."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from schemas.errors import ConfigurationError
from schemas.settings import Settings
from schemas.timestamps import to_text
from sinks import renaming, second_sets, swapping
from sinks.erasing import erase
from sinks.pseudonymising import pseudonymise
from sinks.writing import Writer

pytestmark = pytest.mark.postgres

ANNA = "anna@example.org"
NOW = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)


def ago(days: int) -> datetime:
    return NOW - timedelta(days=days)


def silent(*_: str) -> None:
    pass


@pytest.fixture
def second(settings: Settings, rows: Any) -> Settings:
    """Give the settings of a second set that holds the same mail as the live one."""
    second_sets.make(settings, "replayed")
    second_sets.note(settings, "replayed", ago(5), ago(5))
    there = second_sets.in_schema(settings, "replayed")
    for each in (settings, there):
        writer = Writer(each)
        arrived = to_text(int(ago(3).timestamp()) * 1_000_000)
        writer.write(rows.batch(rows.message(arrived, sender=ANNA), rows.delivery(arrived)), {})
        writer.close()
    return there


@pytest.mark.usefixtures("second")
def test_a_swap_that_is_refused_brings_no_name_back(settings: Settings, query: Any) -> None:
    erase(settings, ANNA, "remove", silent)
    known = query("SELECT kind, name FROM known_names ORDER BY 1, 2")
    with pytest.raises(ConfigurationError, match="erased"):
        swapping.swap(settings, "replayed", silent)
    assert query("SELECT kind, name FROM known_names ORDER BY 1, 2") == known


def test_a_set_whose_purge_was_broken_off_is_refused_until_it_is_done(
    settings: Settings, second: Settings, query: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    border = ago(2).date()
    pseudonymise(settings, border, silent)
    with monkeypatch.context() as patch:
        patch.setattr(renaming.Day, "_rewrite", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            pseudonymise(second, border, silent)
    with pytest.raises(ConfigurationError, match="pseudonymised since"):
        swapping.swap(settings, "replayed", silent)
    pseudonymise(second, border, silent)
    swapping.swap(settings, "replayed", silent)
    [(sender,)] = query("SELECT sender FROM delivery_from")
    assert sender.startswith("~")


def test_the_names_of_a_second_set_are_known_once_it_is_swapped_in(
    settings: Settings, second: Settings, query: Any, rows: Any
) -> None:
    def catch_up() -> None:
        writer = Writer(second)
        arrived = to_text(int(ago(3).timestamp()) * 1_000_000)
        writer.write(rows.batch(rows.message(arrived, queue_id="A000000001", sender="last@example.org")), {})
        writer.close()

    query("DELETE FROM known_names")
    swapping.swap(settings, "replayed", catch_up)
    assert query("SELECT name FROM known_names WHERE kind = 'sender' ORDER BY 1") == [(ANNA,), ("last@example.org",)]
