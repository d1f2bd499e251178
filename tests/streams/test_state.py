"""What becomes of lines in a partition: rows, and state for what is unfinished."""

from typing import TYPE_CHECKING, Any

from schemas.dead_letters import DeadLetter
from schemas.deliveries import ORIGIN_CLEANUP, ORIGIN_UNSEEN
from schemas.keys import partition_of
from schemas.merging import MAX_HISTORY
from schemas.progress import MAX_SAMPLES
from schemas.raw import RawLine
from schemas.topics import MAX_VALUE_BYTES
from streams import state
from streams.messages import name_of
from tests.streams.conftest import PARTITIONS, START

if TYPE_CHECKING:
    import pytest

    from tests.streams.conftest import Fed

ID = "9D5CB98A3E3"
CLIENT = (0, "postfix/smtpd", f"{ID}: client=localhost[127.0.0.1]")
MESSAGE_ID = (0, "postfix/cleanup", f"{ID}: message-id=<m@src.test>")
ACTIVE = (0, "postfix/qmgr", f"{ID}: from=<a@src.test>, size=541, nrcpt=2 (queue active)")
REMOVED = (9, "postfix/qmgr", f"{ID}: removed")


def delivery(at: float, recipient: str, status: str, *, queue_id: str = ID, reply: str = "x") -> tuple[float, str, str]:
    return (
        at,
        "postfix/smtp",
        (
            f"{queue_id}: to=<{recipient}>, relay=r[192.0.2.1]:25, delay=1, delays=0/0/0/1, dsn=2.0.0, "
            f"status={status} ({reply})"
        ),
    )


def at(row: dict[str, Any], field: str) -> str:
    return str(row[field])[14:19]


def test_a_message_becomes_one_row_and_one_per_recipient(fed: "Fed") -> None:
    fed.feed(CLIENT, MESSAGE_ID, ACTIVE, delivery(1, "b@x.test", "sent"), delivery(2, "c@x.test", "bounced"), REMOVED)

    (message,) = fed.messages
    assert message["sender"] == "a@src.test"
    assert message["message_id"] == "m@src.test"
    assert message["client_address"] == "127.0.0.1"
    assert {key[1]: row.status for key, row in fed.deliveries.items()} == {"b@x.test": "sent", "c@x.test": "bounced"}


def test_a_message_that_begins_and_ends_between_checkpoints_never_touches_the_changelog(fed: "Fed") -> None:
    fed.feed(CLIENT, ACTIVE, delivery(1, "b@x.test", "sent"), REMOVED)

    assert not [write for write in fed.writes if write.topic == fed.topics.changelog.name]
    assert len(fed.state) == 0


def test_an_unfinished_message_is_in_the_changelog_until_it_ends(fed: "Fed") -> None:
    fed.feed(CLIENT, ACTIVE, delivery(1, "b@x.test", "deferred"))
    assert len(fed.changelog) == 1

    fed.feed(delivery(600, "b@x.test", "sent"), (601, "postfix/qmgr", f"{ID}: removed"))
    assert fed.changelog == {}
    assert fed.deliveries[ID, "b@x.test", ""].attempts == 2


def test_a_recipient_that_is_done_leaves_the_state(fed: "Fed") -> None:
    fed.feed(
        CLIENT, ACTIVE, *(delivery(1, f"r{n}@x.test", "sent") for n in range(200)), delivery(1, "b@x.test", "deferred")
    )

    (value,) = fed.changelog.values()
    assert b"r7@x.test" not in value
    assert b"b@x.test" in value


def test_a_large_unfinished_message_is_stored_in_pieces_and_comes_back_whole(fed: "Fed", new_fed: type["Fed"]) -> None:
    fed.feed(CLIENT, ACTIVE, *(delivery(1, f"r{n}@x.test", "deferred", reply="y" * 1900) for n in range(500)))
    assert max(map(len, fed.changelog.values())) < 512 * 1024

    taken_over = new_fed()
    taken_over.state.restore(fed.changelog)
    for one in (fed, taken_over):
        one.writes.clear()
        one.feed(*(delivery(700, f"r{n}@x.test", "sent") for n in range(500)), (701, "postfix/qmgr", f"{ID}: removed"))
    assert taken_over.writes == fed.writes
    assert len(fed.deliveries) == 500
    assert {row.attempts for row in fed.deliveries.values()} == {2}


def test_no_record_of_a_message_is_too_large_however_long_the_histories_of_its_recipients_are(fed: "Fed") -> None:
    fed.feed(CLIENT, ACTIVE)
    for number in range(MAX_HISTORY):
        said = "𝄞" * 1900
        fed.feed(*(delivery(number, f"r{n}@x.test", "deferred", reply=said) for n in range(20)), checkpoint=False)
    fed.writes += fed.state.checkpoint()
    assert max(map(len, fed.changelog.values())) < MAX_VALUE_BYTES
    assert max(len(write.value or b"") for write in fed.writes) < MAX_VALUE_BYTES
    assert sum(value.count(f"r{n}@x.test".encode()) > 0 for value in fed.changelog.values() for n in range(20)) == 20


def test_attempts_are_kept_with_their_replies(fed: "Fed") -> None:
    fed.feed(CLIENT, ACTIVE, delivery(1, "b@x.test", "deferred", reply="busy"))
    fed.feed(delivery(300, "b@x.test", "deferred", reply="still busy"))
    fed.feed(delivery(900, "b@x.test", "sent", reply="ok"))

    row = fed.deliveries[ID, "b@x.test", ""]
    assert (row.status, row.attempts, row.reply) == ("sent", 3, "ok")
    assert [entry.rpartition("\t")[2] for entry in row.history] == ["busy", "still busy"]
    assert row.first_attempt_at < row.last_attempt_at


def test_two_attempts_of_one_second_are_two_and_the_same_line_again_is_one(fed: "Fed") -> None:
    twice = [delivery(1, "b@x.test", "deferred")] * 2
    fed.feed(CLIENT, ACTIVE, *twice)
    fed.feed(*twice)

    assert fed.deliveries[ID, "b@x.test", ""].attempts == 2


def test_each_line_of_a_moment_has_a_name_of_31_bits() -> None:
    lines = [RawLine(START, "postfix/smtp", pid, text, n) for pid in (1, 77) for text in (b"a", b"b") for n in range(9)]
    assert len(set(map(name_of, lines))) == len(lines)
    assert all(0 <= name_of(line) < 2**31 for line in lines)


def test_a_short_id_may_come_again_within_a_second(fed: "Fed") -> None:
    first = [CLIENT, ACTIVE, delivery(0, "b@x.test", "sent"), (0, "postfix/qmgr", f"{ID}: removed")]
    second = [
        (0, "postfix/smtpd", f"{ID}: client=other[192.0.2.9]"),
        (0, "postfix/qmgr", f"{ID}: from=<z@src.test>, size=1, nrcpt=1 (queue active)"),
        delivery(0, "b@x.test", "bounced"),
        (0, "postfix/qmgr", f"{ID}: removed"),
    ]
    fed.feed(*first)
    fed.feed(*second)
    fed.feed((5, "postfix/smtpd", "connect from x[192.0.2.1]"))

    assert [message["sender"] for message in fed.messages] == ["a@src.test", "z@src.test"]
    assert len({message["arrived_at"] for message in fed.messages}) == 2
    assert len(fed.state) == 0


def test_lines_of_messages_of_one_second_go_to_the_same_ones_when_they_are_read_again(fed: "Fed") -> None:
    def message(name: str) -> list[tuple[float, str, str]]:
        return [
            (0, "postfix/smtpd", f"{ID}: client={name}[192.0.2.9]"),
            (0, "postfix/qmgr", f"{ID}: from=<{name}>, size=1, nrcpt=1 (queue active)"),
            delivery(0, name, "deferred"),
        ]

    for name in "abababcabc":  # the third, too, after lines of the others were read again
        fed.feed(*message(name))

    arrived = {message["sender"]: message["arrived_at"] for message in fed.messages}
    assert len(fed.messages) == len(fed.values(fed.topics.delivery_to.name)) == 3
    assert {row.recipient: row.arrived_at for row in fed.deliveries.values()} == arrived


def test_two_messages_of_one_id_that_no_client_brought_stay_two_when_their_lines_are_read_again(fed: "Fed") -> None:
    def bounce(begins: float, name: str) -> list[tuple[float, str, str]]:
        return [
            (begins, "postfix/cleanup", f"{ID}: message-id=<{name}@src.test>"),
            (begins, "postfix/qmgr", f"{ID}: from=<>, size=541, nrcpt=1 (queue active)"),
            delivery(begins, f"{name}@x.test", "sent"),
            (begins, "postfix/qmgr", f"{ID}: removed"),
        ]

    for lines in (bounce(2, "first"), bounce(1800, "second")) * 2:
        fed.feed(*lines)
    for later in (12, 3700):
        fed.feed((later, "postfix/smtpd", "connect from x[192.0.2.1]"))
    assert [(at(message, "arrived_at"), message["message_id"]) for message in fed.messages] == [
        ("13:22", "first@src.test"),
        ("43:20", "second@src.test"),
    ]


def test_a_short_id_may_come_again_after_days_though_its_message_never_ended(fed: "Fed") -> None:
    fed.feed(CLIENT, ACTIVE, delivery(1, "b@x.test", "deferred"))
    later = 2 * 86_400
    fed.feed(
        (later, "postfix/smtpd", f"{ID}: client=other[192.0.2.9]"),
        (later, "postfix/qmgr", f"{ID}: from=<z@src.test>, size=1, nrcpt=1 (queue active)"),
        delivery(later + 1, "d@x.test", "sent"),
        (later + 1, "postfix/qmgr", f"{ID}: removed"),
    )

    assert [message["sender"] for message in fed.messages] == ["a@src.test", "z@src.test"]
    arrived = {key[1]: row.arrived_at for key, row in fed.deliveries.items()}
    assert arrived["b@x.test"] == fed.messages[0]["arrived_at"]
    assert arrived["d@x.test"] == fed.messages[1]["arrived_at"]


def test_a_long_id_tells_when_its_message_arrived(fed: "Fed") -> None:
    # 2023-11-14T22:13:20.000123Z in base 52, as src/global/mail_queue.h writes it
    fed.feed((7, "postfix/qmgr", "4STW2c002Nz5Q: from=<a@src.test>, size=541, nrcpt=1 (queue active)"))

    (message,) = fed.messages
    assert message["origin"] == 2
    assert message["arrived_at"].startswith("2023-11-1")


def test_the_time_of_cleanup_stands_until_a_surer_origin_comes(fed: "Fed") -> None:
    fed.feed((3, "postfix/cleanup", f"{ID}: message-id=<m@src.test>"), delivery(3, "b@x.test", "sent"))
    assert at(fed.messages[0], "arrived_at") == "13:23"

    fed.feed((2, "postfix/pickup", f"{ID}: uid=0 from=<root>"))
    (message,) = fed.messages
    assert at(message, "arrived_at") == "13:22"
    assert message["message_id"] == "m@src.test"
    (row,) = fed.deliveries.values()
    assert row.arrived_at == message["arrived_at"]


def test_a_bounce_is_a_message_of_its_own_that_knows_its_parent(fed: "Fed") -> None:
    child = "9D5CB98A3F7"
    fed.feed(
        CLIENT,
        ACTIVE,
        delivery(1, "b@x.test", "bounced"),
        (1, "postfix/cleanup", f"{child}: message-id=<bounce@mx1>"),
        (1, "postfix/bounce", f"{ID}: sender non-delivery notification: {child}"),
        (1, "postfix/qmgr", f"{child}: from=<>, size=2000, nrcpt=1 (queue active)"),
    )

    parts = [message for message in fed.messages if message["queue_id"] == child]
    assert {part.get("parent_queue_id"): part.get("origin", ORIGIN_UNSEEN) for part in parts} == {
        None: ORIGIN_CLEANUP,
        ID: ORIGIN_UNSEEN,
    }
    assert {part["arrived_at"] for part in parts} == {parts[0]["arrived_at"]}
    elsewhere = {write.key: write.partition for write in fed.writes if write.partition is not None}
    [(key, partition)] = elsewhere.items()
    assert child.encode() in key
    assert partition == partition_of(f"mx1/{child}".encode(), PARTITIONS), "where the child's own lines go"


def test_a_reject_with_a_queue_id_is_a_delivery_that_was_rejected_and_no_attempt(fed: "Fed") -> None:
    fed.feed(
        CLIENT,
        (
            0,
            "postfix/smtpd",
            f"{ID}: reject: RCPT from l[127.0.0.1]: 550 5.1.1 <n@x>: no; from=<a@src.test> to=<n@x> proto=SMTP",
        ),
    )

    row = fed.deliveries[ID, "n@x", ""]
    assert (row.status, row.dsn, row.attempts, row.service) == ("rejected", "5.1.1", 0, "smtpd")


def test_a_rejection_without_a_queue_id_is_counted_as_often_as_it_was_logged(fed: "Fed") -> None:
    line = (
        1,
        "postfix/smtpd",
        "NOQUEUE: reject: RCPT from l[127.0.0.1]: 550 5.1.1 <n@x>: no; from=<a@b> to=<n@x> proto=SMTP",
    )
    fed.feed(line, line)
    fed.feed(line, line)

    assert len(fed.noqueue) == 2


def test_a_session_is_written_with_the_checkpoint_once_however_often_its_line_is_read(fed: "Fed") -> None:
    line = (
        3,
        "postfix/submission/smtpd",
        "Trusted TLS connection established from c.test[192.0.2.9]:4711: TLSv1.3 with cipher X (256/256 bits)",
    )
    fed.feed(line, checkpoint=False)
    assert fed.sessions == []
    fed.feed(line, line)

    known = {
        "host": "mx1", "pid": 77, "instance": "postfix", "service": "submission/smtpd", "direction": "from",
        "trust": "trusted", "reused": False, "peer_name": "c.test", "peer_address": "192.0.2.9", "peer_port": 4711,
        "protocol": "TLSv1.3", "cipher": "X",
    }  # fmt: skip
    first, second = fed.sessions  # two alike in one record are two
    assert first["digest"] != second["digest"]
    for session in (first, second):
        assert {field: session[field] for field in known} == known
        assert at(session, "at") == "13:23"
    assert fed.state.progress.parsed == 3
    assert fed.messages == []


def test_an_attempt_has_the_process_that_made_it(fed: "Fed") -> None:
    fed.feed(CLIENT, ACTIVE, delivery(1, "b@x.test", "deferred"))
    assert fed.deliveries[ID, "b@x.test", ""].pid == 77


def test_every_line_is_counted_as_parsed_ignored_or_unparsed(fed: "Fed") -> None:
    unknown = [(1, "postfix/smtpd", f"unheard of {n}") for n in range(MAX_SAMPLES + 3)]
    fed.feed(CLIENT, (1, "postfix/anvil", "statistics: x"), *unknown, (1, "", "no frame at all"))

    progress = fed.state.progress
    assert (progress.lines, progress.parsed, progress.unparsed) == (MAX_SAMPLES + 6, 1, MAX_SAMPLES + 4)
    assert progress.ignored == {"statistics": 1}
    assert progress.unknown["smtpd"].count == MAX_SAMPLES + 3
    assert len(progress.unknown["smtpd"].samples) == MAX_SAMPLES


def test_a_refused_record_is_a_dead_letter_of_the_next_checkpoint(fed: "Fed") -> None:
    fed.state.refuse(
        DeadLetter(at="2026-01-01T00:00:00Z", stage="stream", reason="x", topic="t", partition=0, offset=3)
    )

    (write,) = fed.state.checkpoint()
    assert write.topic == fed.topics.dead_letter.name
    assert fed.state.progress.dead_letters == 1
    assert fed.state.checkpoint() == []


def test_state_that_no_queue_can_hold_leaves_and_says_nothing(fed: "Fed") -> None:
    fed.feed(CLIENT, ACTIVE, delivery(1, "b@x.test", "deferred"))
    rows = len(fed.messages), len(fed.deliveries)
    fed.writes.clear()
    fed.feed((8 * 86_400, "postfix/smtpd", "9D5CB98A4F7: client=x[192.0.2.3]"))

    assert len(fed.state) == 1
    assert rows == (1, 1)
    assert [message["queue_id"] for message in fed.messages] == ["9D5CB98A4F7"]


def test_the_rows_do_not_depend_on_where_records_and_checkpoints_end(fed: "Fed", new_fed: type["Fed"]) -> None:
    lines = [CLIENT, MESSAGE_ID, ACTIVE, delivery(1, "b@x.test", "deferred"), delivery(2, "c@x.test", "sent")]
    lines += [delivery(500, "b@x.test", "sent"), (501, "postfix/qmgr", f"{ID}: removed")]
    fed.feed(*lines)
    one_by_one = new_fed()
    for line in lines:
        one_by_one.feed(line)

    assert one_by_one.messages == fed.messages
    assert one_by_one.deliveries == fed.deliveries


def test_a_line_from_the_future_keeps_no_message_for_ever(fed: "Fed", monkeypatch: "pytest.MonkeyPatch") -> None:
    monkeypatch.setattr(state, "_SWEPT_EVERY", 100)
    fed.feed((3650 * 86_400, "postfix/smtpd", "connect from c.test[192.0.2.1]"))
    for number in range(600):  # of clients that gave up, ten a day
        fed.feed((number * 8_640, "postfix/smtpd", f"9D5CB98A{number:03X}: client=c.test[192.0.2.1]"))
    lifetime = fed.settings.queue_lifetime_days
    assert 10 * lifetime <= len(fed.state) <= 10 * (lifetime + 10)
    assert len(fed.messages) == 600, "what left was written"
