"""Versions of a message become one row, the same in any order; and the sender in it is the queue manager's."""

from functools import reduce
from itertools import permutations
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.deliveries import DeliveryFrom
from schemas.merging import merge_messages, normalise_message

ARRIVED = "2026-11-22T06:00:00.000000Z"
QUEUED = "2026-11-22T06:00:01.000000Z"


def version(**fields: Any) -> DeliveryFrom:
    row = DeliveryFrom(host="mx1", queue_id="9D5CB98A3E3", arrived_at=ARRIVED, **fields)
    normalise_message(row)
    return row


def merged(first: DeliveryFrom, second: DeliveryFrom) -> DeliveryFrom:
    row = msgspec.structs.replace(first)
    merge_messages(row, second)
    return row


TEXTS = st.sampled_from([None, "", "a", "B", "é"])
VERSIONS = st.builds(
    version,
    parser=st.integers(0, 2),
    older=st.sampled_from([None, None, "sender:0", "sender:1 verp_id:0", "sender:0 verp_id:1", "uid:0"]),
    sender=TEXTS,
    verp_id=TEXTS,
    uid=st.sampled_from([None, 0, 1]),
    queued_at=st.sampled_from([None, ARRIVED, QUEUED]),
    removed_at=st.sampled_from([None, QUEUED]),
)


@given(VERSIONS, VERSIONS, VERSIONS)
def test_order_grouping_and_repetition_do_not_show(
    first: DeliveryFrom, second: DeliveryFrom, third: DeliveryFrom
) -> None:
    assert merged(first, second) == merged(second, first)
    assert merged(merged(first, second), third) == merged(first, merged(second, third))
    assert merged(first, first) == first
    assert merged(merged(first, second), second) == merged(first, second)


@pytest.mark.parametrize(
    ("versions", "sender", "verp_id"),
    [
        pytest.param(
            [{"sender": "root@web1"}, {"sender": "root@a", "queued_at": QUEUED}], "root@a", None, id="the lesser"
        ),
        pytest.param(
            [{"sender": "root@a"}, {"sender": "root@web1", "queued_at": QUEUED}], "root@web1", None, id="the greater"
        ),
        pytest.param(
            [{"sender": "z"}, {"sender": "", "queued_at": QUEUED}], "", None, id="none at all, of a bounce"
        ),
        pytest.param([{"sender": "z"}, {"sender": "a"}, {"uid": 0}], "z", None, id="not queued yet"),
        pytest.param(
            [{"sender": "z"}, {"sender": "a", "queued_at": QUEUED}, {"sender": "b", "queued_at": ARRIVED}], "b", None,
            id="twice by the queue manager",
        ),
        pytest.param(
            [{"sender": "z", "parser": 2}, {"sender": "a", "queued_at": QUEUED, "parser": 1}], "a", None,
            id="not even where a newer parser read the other",
        ),
        pytest.param(
            [{"sender": "z", "queued_at": QUEUED, "parser": 1}, {"sender": "a", "queued_at": QUEUED, "parser": 2}], "a",
            None, id="of two readings the newer",
        ),
        pytest.param(
            [{"sender": "z"}, {"queued_at": QUEUED}, {"sender": "a", "queued_at": QUEUED}], "a", None,
            id="queued without one, which no line says",
        ),
        pytest.param(
            [{"sender": "b+z@x", "verp_id": "z"}, {"sender": "a@x", "queued_at": QUEUED}], "a@x", None,
            id="a VERP id of another",
        ),
        pytest.param(
            [{"sender": "a+z@x", "verp_id": "z"}, {"sender": "b+a@x", "verp_id": "a", "queued_at": QUEUED}], "b+a@x",
            "a", id="its own VERP id",
        ),
        pytest.param(
            [
                {"sender": "b+a@x", "queued_at": QUEUED, "parser": 1},
                {"sender": "b+a@x", "verp_id": "a", "queued_at": QUEUED, "parser": 1},
            ],
            "b+a@x", "a", id="once without looking for VERP ids",
        ),
    ],
)  # fmt: skip
def test_whose_sender_counts(versions: list[dict[str, Any]], sender: str, verp_id: str | None) -> None:
    for order in permutations(versions):
        row = reduce(merged, [version(**fields) for fields in order])
        assert (row.sender, row.verp_id) == (sender, verp_id), order


def test_a_sender_of_an_older_parser_is_known_as_such() -> None:
    row = merged(version(sender="a", queued_at=QUEUED, parser=1), version(sender="z", verp_id="z", uid=0, parser=2))
    assert (row.sender, row.verp_id, row.parser, row.older) == ("a", None, 2, "sender:1")
