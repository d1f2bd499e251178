"""A pseudonym stands for a person wherever one is named, always the same, and a pseudonym's is itself."""

import hashlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.deliveries import DeliveryFrom, DeliveryTo, Rejection
from schemas.merging import attempt_entry, merge_deliveries
from schemas.tls_sessions import TlsSession
from sinks.pseudonyms import Pseudonyms, network
from sinks.renaming import TABLES, Table, renamed

AT = "2026-11-22T06:00:00.000000Z"
LATER = "2026-11-22T07:00:00.000000Z"


def digest(name: str) -> bytes:
    return hashlib.sha256(b"key" + name.lower().encode("utf-8", "surrogatepass")).digest()


@pytest.fixture
def pseudonyms() -> Pseudonyms:
    return Pseudonyms(digest, "2026-11-23")


def made(name: str) -> str:
    return "~" + digest(name).hex()[:20]


ANNA = made("anna@example.org")


@pytest.mark.parametrize(
    ("address", "becomes"),
    [
        ("anna@example.org", f"{ANNA}@example.org"),
        ("Anna@Example.ORG", f"{ANNA}@example.org"),
        ("", ""),
        ("root", made("root")),
        ('"odd ines4"@shop.example', made('"odd ines4"@shop.example') + "@shop.example"),
        ("a@b@example.org", f"{made('a@b@example.org')}@example.org"),
        (f"{ANNA}@example.org", f"{ANNA}@example.org"),
        ("0123456789@erased.invalid", "0123456789@erased.invalid"),
    ],
)
def test_an_address_keeps_its_domain(pseudonyms: Pseudonyms, address: str, becomes: str) -> None:
    assert pseudonyms.address(address) == becomes


@pytest.mark.parametrize(
    ("client", "becomes"),
    [
        ("dsl-7.dyn.isp.example", f"{made('dsl-7.dyn.isp.example')}.isp.example"),
        ("mail.shop.example", f"{made('mail.shop.example')}.shop.example"),
        ("shop.example", "shop.example"),
        ("annas-laptop", made("annas-laptop")),
        ("annas-laptop.local", f"{made('annas-laptop.local')}.local"),
        ("unknown", "unknown"),
        ("[192.0.2.77]", "[192.0.2.0]"),
        ("192.0.2.77", "192.0.2.0"),
        ("127.0.0.1", "127.0.0.1"),
        ("", ""),
    ],
)
def test_a_client_keeps_its_domain(pseudonyms: Pseudonyms, client: str, becomes: str) -> None:
    assert pseudonyms.client(client) == becomes
    assert pseudonyms.client(becomes) == becomes


@pytest.mark.parametrize(
    ("address", "becomes"),
    [
        ("192.0.2.77", "192.0.2.0"),
        ("2001:db8:1:2::77", "2001:db8:1::"),
        ("::ffff:192.0.2.77", "::ffff:192.0.2.0"),
        ("127.0.0.1", "127.0.0.1"),
        ("::1", "::1"),
        ("unknown", "unknown"),
        ("192.0.2.777", "192.0.2.777"),
    ],
)
def test_an_ip_address_becomes_its_network(address: str, becomes: str) -> None:
    assert network(address) == becomes
    assert network(becomes) == becomes


@pytest.mark.parametrize(
    ("text", "becomes"),
    [
        ("550 5.1.1 <anna@example.org>: unknown", f"550 5.1.1 <{ANNA}@example.org>: unknown"),
        ("Anna@Example.ORG.", f"{ANNA}@example.org."),
        ('no "a b"@x.test here', "no " + made('"a b"@x.test') + "@x.test here"),
        ("seen anna=example.org today", f"seen {ANNA}=example.org today"),
        ("User 'anna@example.org' unknown", f"User '{ANNA}@example.org' unknown"),
        ("`anna@example.org` {anna@example.org}", f"`{ANNA}@example.org` {{{ANNA}@example.org}}"),
        ("see http://spf.test/?id=anna@example.org;ip=1", f"see http://spf.test/?id={ANNA}@example.org;ip=1"),
        ("http://spf.test/a/b?x=1&to=anna@example.org", f"http://spf.test/a/b?x=1&to={ANNA}@example.org"),
        ("550|anna@example.org|user=anna@example.org", f"550|{ANNA}@example.org|user={ANNA}@example.org"),
        ("'\"a b\"@x.test'", "'" + made('"a b"@x.test') + "@x.test'"),
        ("http://spf.test/why?id=anna%40example.org;ip=", f"http://spf.test/why?id={ANNA}%40example.org;ip="),
        ("o'neil@example.org", made("o'neil@example.org") + "@example.org"),
        ("anna=example.org@l.test", f"{made('anna=example.org@l.test')}@l.test"),
        ("prvs=1a=anna@example.org", f"{made('prvs=1a=anna@example.org')}@example.org"),
        ("delay=0.5 size=12", "delay=0.5 size=12"),
        ("b+anna=example.org@l.test", f"{made('b+anna=example.org@l.test')}@l.test"),
        (
            "<pc.isp.test[192.0.2.7]>: Client host rejected",
            f"<{made('pc.isp.test')}.isp.test[192.0.2.0]>: Client host rejected",
        ),
        ("<annas-pc>: Helo command rejected", f"<{made('annas-pc')}>: Helo command rejected"),
        ("client [192.0.2.7] blocked using bl.test", "client [192.0.2.0] blocked using bl.test"),
        ("see https://bl.test/q?ip=2001:db8:1:2::7", "see https://bl.test/q?ip=2001:db8:1::"),
        ("250 2.0.0 Ok: queued at 12:30:45 as 4bXyZ12QrSz5T", "250 2.0.0 Ok: queued at 12:30:45 as 4bXyZ12QrSz5T"),
        ("Postfix 3.7.11 said 4.2.0", "Postfix 3.7.11 said 4.2.0"),
    ],
)
def test_a_text_keeps_all_but_who_it_quotes(pseudonyms: Pseudonyms, text: str, becomes: str) -> None:
    assert pseudonyms.text(text) == becomes
    assert pseudonyms.text(becomes) == becomes


PIECES = st.sampled_from(
    [
        "anna", "@", "example.org", "=", "<", ">", "[", "]", '"', "'", " ", ".", ":", "192.0.2.7", "2001:db8::7", "::1",
        "~", "~0123456789abcdef0123", "~0123456789abcdef0123@x.test", "user ", "pc.isp.test", "é", "\u0130", "#", "+",
        "word " * 30, "/", "?id=", "{", "`", "|", "&", "%40", "\t", "\\", "::ffff:", "0", "a" * 70,
    ]
)  # fmt: skip
TEXTS = st.lists(PIECES, max_size=30).map("".join)
NAMES = st.sampled_from(["anna@example.org", "anna", "é@x.test", "", "~0123456789abcdef0123@x.test"])


def delivery(text: str = "", at: str = AT, **fields: str) -> DeliveryTo:
    return DeliveryTo(
        **{"host": "mx1", "queue_id": "A1", "arrived_at": AT, "recipient": "anna@example.org"} | fields,
        last_attempt_at=at, first_attempt_at=at, status="deferred", reply=text,
    )  # fmt: skip


@given(TEXTS)
def test_a_text_with_pseudonyms_has_none_anew(text: str) -> None:
    pseudonyms = Pseudonyms(digest, "2026-11-23")
    assert pseudonyms.text(done := pseudonyms.text(text)) == done


@pytest.mark.parametrize(
    "piece", ["'", "=", "/", "a=", "/a&", "?a", '\'"a"@b', "a'", "@", "|", "a@b=", "a=b.cc", "%40", "a%40a."]
)
def test_no_text_takes_long(pseudonyms: Pseudonyms, piece: str) -> None:
    began = time.process_time()
    pseudonyms.text(piece * (20_000 // len(piece)) + "@example.org")
    assert time.process_time() - began < 2


@given(TEXTS, TEXTS, NAMES, NAMES)
def test_a_delivery_with_pseudonyms_has_none_anew(first: str, second: str, recipient: str, original: str) -> None:
    pseudonyms = Pseudonyms(digest, "2026-11-23")
    row = delivery(first, recipient=recipient, orig_recipient=original)
    merge_deliveries(row, delivery(second, LATER, recipient=recipient, orig_recipient=original))
    pseudonyms.delivery(row)
    again = delivery(row.reply, LATER, recipient=row.recipient, orig_recipient=row.orig_recipient)
    again.history = row.history
    pseudonyms.delivery(again)
    assert (again.recipient, again.orig_recipient, again.reply) == (row.recipient, row.orig_recipient, row.reply)
    assert again.history == row.history


@given(TEXTS, TEXTS)
def test_an_attempt_reads_the_same_whether_it_was_earlier_before_or_becomes_it_after(first: str, second: str) -> None:
    """The attempt's reply is cut when a later one follows: before the pseudonyms, or after."""
    pseudonyms = Pseudonyms(digest, "2026-11-23")
    merged, later = delivery(first), delivery(second, LATER)
    merge_deliveries(merged, later)
    pseudonyms.delivery(merged)
    row, late = delivery(first), delivery(second, LATER)
    pseudonyms.delivery(row)
    pseudonyms.delivery(late)
    merge_deliveries(row, late)
    assert row.history == merged.history
    assert attempt_entry(row) == attempt_entry(merged)


def test_a_reply_that_was_cut_amid_an_address_names_nobody(pseudonyms: Pseudonyms) -> None:
    for length in range(100, 200):
        row = delivery(f"{'x' * (length % 7)}{'no ' * (length // 3)}anna.schmidt@example.org is unknown")
        merge_deliveries(row, delivery("ok", LATER))
        pseudonyms.delivery(row)
        assert "ann" not in "".join(row.history)


def test_a_local_part_that_stands_alone_goes_too(pseudonyms: Pseudonyms) -> None:
    row = delivery('unknown user: "anna"; anna will not do; /home/anna/Maildir: cannot, user anna')
    pseudonyms.delivery(row)
    assert row.reply == f'unknown user: "{ANNA}"; anna will not do; /home/{ANNA}/Maildir: cannot, user {ANNA}'


def test_of_a_message_nothing_names_who_sent_it_or_from_where(pseudonyms: Pseudonyms) -> None:
    row = DeliveryFrom(
        host="mx1", queue_id="A1", arrived_at=AT, sender="anna@example.org", sasl_username="anna", uid=7,
        sasl_sender="anna@example.org", client_name="pc.isp.test", client_address="192.0.2.7", client_port=4711,
        helo="annas-pc", subject="To Anna", verp_id="anna=x.test", orig_client="pc.isp.test[192.0.2.7]",
        discard_reply="from <anna@example.org>", reject_reply="554 <anna@example.org>: no", message_id="m1@example.org",
    )  # fmt: skip
    pseudonyms.message(row)
    text = repr(row)
    assert "anna" not in text.lower()
    assert "192.0.2.7" not in text
    assert "4711" not in text
    assert (row.sender, row.sasl_username) == (f"{ANNA}@example.org", made("anna"))
    assert (row.uid, row.message_id) == (7, "m1@example.org")
    assert row.subject == made("To Anna")


def test_of_a_rejection_neither(pseudonyms: Pseudonyms) -> None:
    row = Rejection(
        host="mx1", at=AT, digest="0", service="smtpd", instance="postfix", pid=7, action="reject", stage="RCPT",
        client_name="pc.isp.test", client_address="192.0.2.7", client_port=4711, helo="annas-pc", sender="a@x.test",
        recipient="anna@example.org", sasl_username="anna@example.org",
        reply="554 <anna@example.org>: pc.isp.test and annas-pc at 192.0.2.7 may not, user anna",
    )  # fmt: skip
    text = repr(pseudonyms.rejection(row))
    assert "anna" not in text.lower()
    assert "192.0.2.7" not in text
    assert "pc.isp.test" not in text


@pytest.mark.parametrize(("direction", "changes"), [("from", True), ("to", False)])
def test_a_session_names_no_client(pseudonyms: Pseudonyms, direction: str, changes: bool) -> None:  # noqa: FBT001
    row = TlsSession(
        host="mx1", at=AT, digest="0", service="smtpd", instance="postfix", pid=7, direction=direction, trust="",
        reused=False, peer_name="pc.isp.test", peer_address="192.0.2.7", peer_port=4711, protocol="TLSv1.3", cipher="x",
    )  # fmt: skip
    assert (pseudonyms.session(row) != row) is changes
    assert ("192.0.2.7" in repr(pseudonyms.session(row))) is not changes


NAME_NOBODY = {
    DeliveryFrom: {
        "host", "queue_id", "arrived_at", "origin", "parser", "older", "size", "recipient_count", "message_id",
        "resent_message_id", "sasl_method", "uid", "service", "instance", "pid", "protocol", "orig_queue_id",
        "parent_queue_id", "parent_reason", "queued_at", "attempted_at", "removed_at", "expired_at", "deleted_at",
        "held_at", "released_at", "requeued_at", "cancelled_at", "discarded_at", "rejected_at", "reject_stage",
        "reject_reason",
    },
    DeliveryTo: {
        "host", "queue_id", "arrived_at", "origin", "last_attempt_at", "status", "number", "parser", "service", "dsn",
        "relay", "delay", "delays", "connection_use", "tls", "queued_as", "next_queue_id", "stage", "code", "reason",
        "pid", "first_attempt_at", "attempts",
    },
    Rejection: {
        "host", "at", "digest", "parser", "service", "instance", "pid", "action", "stage", "code", "dsn", "reason",
        "protocol",
    },
    TlsSession: {
        "host", "at", "digest", "parser", "service", "instance", "pid", "direction", "trust", "reused", "ended",
        "protocol", "cipher",
    },
}  # fmt: skip
"""Fields that stay. A new field is here, or `Pseudonyms` changes it."""


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.staged.target)
def test_every_field_stays_or_becomes_a_pseudonym(pseudonyms: Pseudonyms, table: Table) -> None:
    entry = f"{AT}\t1\t0000000001\tdeferred\t4.2.0\tmx\t<anna@example.org> is over quota"
    odd = {"history": [entry], "direction": "from", "client_address": "192.0.2.7", "peer_address": "192.0.2.7"}
    fields = [field for field in table.staged.record.__struct_fields__ if field != "version"]
    row = table.staged.record(**{field: odd.get(field, "x <anna@example.org> [192.0.2.7]") for field in fields})
    new = renamed(pseudonyms, row)
    changed = {field for field in fields if getattr(new, field) != getattr(row, field)}
    assert changed == set(fields) - NAME_NOBODY[table.staged.record]
    assert changed == set(table.changed) or not table.changed
