import csv
import json
from datetime import UTC, datetime, timedelta, timezone

from web.searches.records import csv_lines, json_line

AT = datetime(2026, 11, 23, 7, 28, 35, 120, tzinfo=timezone(timedelta(hours=1)))


def test_times_are_rfc_3339_in_utc_with_six_digits() -> None:
    assert json_line({"at": AT}) == '{"at":"2026-11-23T06:28:35.000120Z"}'


def test_fields_keep_their_order_and_unknown_values_are_null() -> None:
    record = {"b": None, "a": 1, "sender": "", "delay": 0.25}
    assert json_line(record) == '{"b":null,"a":1,"sender":"","delay":0.25}'


def test_hostile_text_is_escaped_and_survives_reading_it_back() -> None:
    text = "a\x1b[2J\x9b31m\x7f\u202eb\u2066\u200bé日本 \ufeff\u2028\r\n\x00\U000e0001\U000e007f"
    line = json_line({"reply": text})
    assert json.loads(line)["reply"] == text
    assert "é日本" in line
    assert not [
        c for c in line if ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 or c in "\u202e\u2066\u200b\ufeff\u2028\U000e0001"
    ]


def test_csv_reads_back_as_it_was() -> None:
    records = [{"a": 'with "quotes", commas\nand lines', "at": AT}, {"a": None, "at": datetime(2026, 1, 1, tzinfo=UTC)}]
    lines = list(csv_lines(["at", "a"], records))
    assert list(csv.reader("\n".join(lines).splitlines(keepends=True))) == [
        ["at", "a"],
        ["2026-11-23T06:28:35.000120Z", 'with "quotes", commas\nand lines'],
        ["2026-01-01T00:00:00.000000Z", ""],
    ]
