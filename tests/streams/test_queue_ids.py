"""What a queue id tells of the time at which its message arrived."""

import pytest

from streams.queue_ids import arrival_of


@pytest.mark.parametrize(
    ("queue_id", "arrived"),
    [
        pytest.param("9D5CB98A3E3", None, id="short"),
        pytest.param("4SVLCh002Mz5Q", 1_700_000_000_000_123, id="long"),
        pytest.param("4jW9mw0sf8z4k3", 1_795_168_800_123_456, id="long, of today"),
        pytest.param("4SVLCh002Mz5zQ", None, id="a z in the inode: no digit of base 52 is one"),
        pytest.param("0000000001z5Q", 1, id="the first"),
        pytest.param("4jW9mw75plz5Q", 1_795_168_800_999_999, id="the last microsecond of a second"),
        pytest.param("4jW9mw75pmz5Q", None, id="a million microseconds"),
        pytest.param("DpTTmdC75plz5Q", 253_402_300_799_999_999, id="the last that a time can be"),
        pytest.param("DpTTmdD0000z5Q", None, id="later than a time can be"),
        pytest.param("4SVLAh002Mz5Q", None, id="a vowel"),
        pytest.param("002Mz5Q", None, id="no seconds"),
        pytest.param("z5Q", None, id="nothing"),
    ],
)
def test_a_long_id_tells_its_time_and_any_other_none(queue_id: str, arrived: int | None) -> None:
    assert arrival_of(queue_id) == arrived
