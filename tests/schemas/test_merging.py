"""Versions of a row become one, the same in any order; the sender in it is the queue manager's, the history bounded."""

from copy import deepcopy
from functools import reduce
from itertools import permutations
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.deliveries import ORIGIN_SURE, ORIGIN_UNSEEN, DeliveryFrom, DeliveryTo
from schemas.merging import (
    MAX_HISTORY,
    attempt_entry,
    merge_deliveries,
    merge_messages,
    normalise_delivery,
    normalise_message,
)
from schemas.timestamps import to_text

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


def many_attempts() -> list[DeliveryTo]:
    """Return the lines of one recipient in the log's order: more attempts than a row keeps, and more rejections."""
    return [
        DeliveryTo(
            host="mx1", queue_id="9D5CB98A3E3", arrived_at=ARRIVED, recipient="r@x.test", last_attempt_at=at,
            first_attempt_at=at, status=status, attempts=int(status == "deferred"), reply=f"{number}",
            origin=ORIGIN_SURE if number == MAX_HISTORY else ORIGIN_UNSEEN,
        )
        for number in range(MAX_HISTORY + 50)
        for status, at in (
            ("rejected", to_text(number * 2_000_000)),
            ("deferred", to_text(number * 2_000_000 + 1_000_000)),
        )
    ]  # fmt: skip


def merged_deliveries(rows: list[DeliveryTo]) -> DeliveryTo:
    row, *others = deepcopy(rows)
    for other in others:
        merge_deliveries(row, other)
    return row


def test_of_many_attempts_the_latest_are_kept_and_as_many_rejections_whatever_the_order() -> None:
    lines = many_attempts()
    row = merged_deliveries(lines)
    kept = [f"{number}" for number in range(MAX_HISTORY + 50)]
    said: dict[str, list[str]] = {}
    for entry in row.history:
        said.setdefault(entry.split("\t")[3], []).append(entry.rpartition("\t")[2])
    assert said == {"rejected": kept[-MAX_HISTORY:], "deferred": kept[-MAX_HISTORY - 1 : -1]}
    assert (row.reply, row.attempts, row.first_attempt_at) == (kept[-1], MAX_HISTORY, to_text(0))
    assert row.origin == ORIGIN_SURE

    assert merged_deliveries(lines[::-1]) == row
    assert merged_deliveries(Random(7).sample(lines, len(lines))) == row
    assert merged_deliveries([merged_deliveries(lines[::2]), merged_deliveries(lines[1::2])]) == row
    assert merged_deliveries([row, row]) == row


@pytest.mark.parametrize("lines", [1, 2, 5, 6])
def test_a_row_that_another_program_wrote_is_put_in_order(lines: int) -> None:
    row = merged_deliveries(many_attempts()[:lines])
    foreign = deepcopy(row)
    foreign.history = [attempt_entry(row), *row.history[::-1], *row.history]
    foreign.attempts = 0
    normalise_delivery(foreign)
    assert foreign == row
