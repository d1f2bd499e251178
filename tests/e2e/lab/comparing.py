"""Compares what the product printed with the truth, field by field, and says so readably."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from lab.truth import AtLeast, Claim, Containing, Given, Moment, OneOf, QueueIdOf, Row

_ABSENT = (None, "")


class Report(msgspec.Struct):
    """The outcome: how many facts were looked at, and what is wrong about which rows."""

    checked: int = 0
    right: int = 0
    wrong: list[str] = []

    def __str__(self) -> str:
        head = f"{self.checked} facts checked, {self.right} right, {len(self.wrong)} things wrong"
        return "\n\n".join((head, *self.wrong))


def compare(rows: Sequence[Mapping[str, Any]], expected: Sequence[Row], log: Iterable[str] = ()) -> Report:
    """Compare printed *rows* with *expected* ones: each must be there once, and none else.

    *log* are the lines that a report quotes for a queue id that something is wrong about.
    """
    report = Report()
    lines = list(log)
    found, left = _match(rows, expected)
    for row in expected:
        got = found.get(id(row))
        report.checked += 1
        if got is None:
            near = [other for other in left if any(_equal(other.get(f), v) for f, v in row.find.items() if v)]
            report.wrong.append(f"MISSING {row.what}: no row with {row.find}" + _quoted(near[:2], lines, rows_too=True))
            continue
        report.right += 1
        faults = []
        for field, claim in row.claims.items():
            report.checked += 1
            if field in got and _holds(claim, got[field], found):
                report.right += 1
            else:
                value = repr(got[field]) if field in got else "nothing: the field is not there"
                faults.append(f"  {field}: expected {_described(claim, found)}, got {value}")
        if faults:
            head = f"WRONG {row.what}: the row with {row.find}"
            report.wrong.append("\n".join((head, *faults)) + _quoted([got], lines))
    for other in left:
        report.checked += 1
        report.wrong.append(f"UNEXPECTED row {dict(other)}" + _quoted([other], lines))
    return report


def _match(
    rows: Sequence[Mapping[str, Any]], expected: Sequence[Row]
) -> tuple[dict[int, Mapping[str, Any]], list[Mapping[str, Any]]]:
    """Pair expected rows with printed ones, those first that say most about theirs."""
    left = list(rows)
    found: dict[int, Mapping[str, Any]] = {}
    for row in sorted(expected, key=lambda row: -sum(value not in _ABSENT for value in row.find.values())):
        fitting = [got for got in left if all(_equal(got.get(f), value) for f, value in row.find.items())]
        if fitting:
            # Rows that can't be told apart by what finds them (two notices to one sender) may be by their claims.
            best = max(fitting, key=lambda got: sum(_holds(c, got.get(f), found) for f, c in row.claims.items()))
            left.remove(best)
            found[id(row)] = best
    return found, left


def _equal(got: object, wanted: object) -> bool:
    return got == wanted or (got in _ABSENT and wanted is None)


def _holds(claim: Claim, got: Any, found: Mapping[int, Mapping[str, Any]]) -> bool:  # noqa: PLR0911 - JSON
    match claim:
        case OneOf(values):
            return any(_equal(got, value) for value in values)
        case AtLeast(least):
            return isinstance(got, int | float) and got >= least
        case Containing(part):
            return isinstance(got, str) and part in got
        case Given():
            return got not in _ABSENT
        case Moment():
            return isinstance(got, str) and claim.has(got)
        case QueueIdOf(row):
            return id(row) in found and got == found[id(row)].get("queue_id")
        case _:
            return _equal(got, claim)


def _described(claim: Claim, found: Mapping[int, Mapping[str, Any]]) -> str:  # noqa: PLR0911 - a claim each
    match claim:
        case OneOf(values):
            return f"one of {values}"
        case AtLeast(least):
            return f"{least:g} or more"
        case Containing(part):
            return f"a text with {part!r}"
        case Given():
            return "a text"
        case Moment():
            return str(claim)
        case QueueIdOf(row):
            return f"{found.get(id(row), {}).get('queue_id')!r}, the queue id of {row.find}"
        case _:
            return repr(claim)


def _quoted(rows: Sequence[Mapping[str, Any]], lines: Sequence[str], *, rows_too: bool = False) -> str:
    quoted = [f"  near: {dict(row)}" for row in rows] if rows_too else []
    for row in rows:
        words = [str(row[field]) for field in ("queue_id", "client_address") if row.get(field)]
        quoted += [f"  log: {line}" for line in lines if any(word in line for word in words[:1])]
    return "".join("\n" + line for line in quoted)
