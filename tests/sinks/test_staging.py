"""COPY text: whatever stands in a value comes out of PostgreSQL as it was."""

from typing import Any

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from schemas.merging import attempt_entry
from sinks.writing import Writer

pytestmark = pytest.mark.postgres

TEXTS = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=12)


@examples(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(("\\.", "\\.\n", "\n\\.\n")).via("ended the copy")
@example(("null", "NULL", ",")).via("stand for NULL and for a separator")
@example(('\\"', "\\n\\u0001", '\\\\",[]]\n[')).via("stand for escapes, and for the end of a row")
@example(("\x01", "\x7f\u2028", "\r\n")).via("have escapes in JSON, or could have")
@example(("", "{}", '"\\')).via("empty, and what arrays are quoted with")
@given(st.tuples(TEXTS, TEXTS, TEXTS))
def test_every_text_survives(writer: Writer, query: Any, rows: Any, texts: tuple[str, str, str]) -> None:
    sender, helo, reply = texts
    query("DELETE FROM delivery_from; DELETE FROM delivery_to")
    earlier = rows.delivery(reply=reply, relay=helo, status="deferred")
    later = rows.delivery(last_attempt_at="2026-11-22T06:00:09.000000Z", reply=sender)
    writer.write(rows.batch(rows.message(sender=sender, helo=helo), earlier, later), {})
    assert query("SELECT sender, helo, protocol FROM delivery_from") == [(sender, helo, None)]
    assert query("SELECT reply, history FROM delivery_to") == [(sender, [attempt_entry(earlier)])]


def test_a_number_of_any_size_is_for_postgresql_to_refuse(writer: Writer, rows: Any) -> None:
    assert writer.refusal(rows.batch(rows.message(size=2**63 - 1))) is None
    assert "out of range" in (writer.refusal(rows.batch(rows.message(size=10**30))) or "")
