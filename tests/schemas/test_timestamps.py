"""Times on the wire: text that sorts as the times do, and that is read back as it was."""

import pytest

from schemas.timestamps import to_microseconds, to_text

LAST = 253_402_300_799_999_999


@pytest.mark.parametrize(
    ("microseconds", "text"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (1, "1970-01-01T00:00:00.000001Z"),
        (1_795_415_315_000_042, "2026-11-23T06:28:35.000042Z"),
        (1_709_251_199_999_999, "2024-02-29T23:59:59.999999Z"),
        (LAST, "9999-12-31T23:59:59.999999Z"),
    ],
)
def test_a_time_has_one_text_and_comes_back_from_it(microseconds: int, text: str) -> None:
    assert to_text(microseconds) == text
    assert to_microseconds(text) == microseconds


@pytest.mark.parametrize(("claimed", "nearest"), [(-1, 0), (-(2**70), 0), (LAST + 1, LAST), (2**70, LAST)])
def test_a_time_that_no_text_can_tell_becomes_the_nearest_that_one_can(claimed: int, nearest: int) -> None:
    assert to_text(claimed) == to_text(nearest)


@pytest.mark.parametrize(
    "text", ["2026-11-23T06:28:35Z", "2026-11-23T07:28:35.000000+01:00", "2026-11-22T22:28:35-08:00"]
)
def test_a_moment_is_the_same_in_every_zone(text: str) -> None:
    assert to_microseconds(text) == 1_795_415_315_000_000
