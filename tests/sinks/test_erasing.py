"""An erased person is in no row any more, and does not come back with the topics; everybody else's mail stays."""

import json
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from schemas.errors import ConfigurationError, TryAgainLaterError
from schemas.settings import Settings
from schemas.timestamps import to_text
from sinks import erasing, owning
from sinks.connecting import connect
from sinks.erasing import erase
from sinks.erasures import LOCK
from sinks.writing import Writer

pytestmark = pytest.mark.postgres

ANNA = "anna@example.org"
TABLES = ("delivery_from", "delivery_to", "noqueue", "known_names")


def silent(_: str) -> None:
    pass


def at(hours: float) -> str:
    return to_text(int((datetime.now(UTC) + timedelta(hours=hours)).timestamp()) * 1_000_000)


YESTERDAY = at(-24)


def everything(query: Any, tables: tuple[str, ...] = TABLES) -> str:
    """All that *tables* hold, as one text."""
    return "\n".join(json.dumps(row) for table in tables for (row,) in query(f"SELECT to_jsonb({table}) FROM {table}"))


def mails(rows: Any) -> list[Any]:
    """Anna as sender, recipient, alias, login, VERP tag, and in what others' servers said; and somebody like her."""
    entry = f"{at(-25)}\t1\t0000000001\tdeferred\t4.2.0\tmx\t<{ANNA}> is over quota"
    return [
        rows.message(YESTERDAY, queue_id="A000000001", sender="Anna@Example.org", sasl_username=ANNA, size=1),
        rows.delivery(YESTERDAY, queue_id="A000000001", recipient="bob@example.net", reply=f"no mail from <{ANNA}>"),
        rows.message(YESTERDAY, queue_id="B000000001", sender="list-bounce+anna=example.org@lists.example.com"),
        rows.delivery(
            YESTERDAY, queue_id="B000000001", recipient=ANNA, orig_recipient="all@example.org", status="bounced",
            reply=f"550 <{ANNA}>: unknown", history=[entry], attempts=2,
        ),
        rows.delivery(YESTERDAY, queue_id="B000000001", recipient="joanna@example.org", reply="to joanna@example.org"),
        rows.delivery(YESTERDAY, queue_id="B000000001", recipient="carl@example.org", orig_recipient=ANNA.upper()),
        rows.rejection(YESTERDAY, sender="x@example.net", recipient=ANNA, reply=f"554 <{ANNA}>: Access denied"),
        rows.message(
            YESTERDAY, queue_id="C000000001", sender="", verp_id="anna=example.org",
            reject_reply=f"550 User '{ANNA}' unknown",
        ),
        rows.delivery(
            YESTERDAY, queue_id="C000000001", recipient="bounce+Anna=example.org@lists.example.com",
            reply=f"550 http://spf.example/?id={ANNA};ip=192.0.2.1",
        ),
        rows.rejection(YESTERDAY, digest="1", sender="x@example.net", reply=f"554 User '{ANNA}' unknown", helo="x"),
    ]  # fmt: skip


@pytest.mark.parametrize("how", ["remove", "pseudonymise"])
def test_an_address_is_in_no_row_any_more(settings: Settings, writer: Writer, query: Any, rows: Any, how: Any) -> None:
    writer.write(rows.batch(*mails(rows)), {})
    assert "anna=example.org" in everything(query)
    counts = {count.table: count.rows for count in erase(settings, ANNA, how, silent)}
    left = everything(query)
    assert ANNA not in left.lower().replace("joanna@example.org", "")
    assert "anna=example.org" not in left.lower()
    assert left.count('"recipient": "joanna@example.org"') == 1
    assert "to joanna@example.org" in left
    assert counts == {"delivery_from": 3, "delivery_to": 4, "noqueue": 2, "known_names": 4}
    assert query("SELECT count(*) FROM delivery_to") == [(5,)]


def test_removed_mail_is_not_linked_and_tells_nothing_but_its_fate(
    settings: Settings, writer: Writer, query: Any, rows: Any
) -> None:
    for queue_id in ("C000000001", "D000000001"):
        writer.write(
            rows.batch(rows.delivery(YESTERDAY, queue_id=queue_id, recipient=ANNA, status="bounced", reply="550 no")),
            {},
        )
    erase(settings, ANNA, "remove", silent)
    found = query("SELECT recipient, status, reply, history FROM delivery_to")
    assert [row[1:] for row in found] == [("bounced", "", []), ("bounced", "", [])]
    assert len({recipient for recipient, *_ in found}) == 2


def test_a_pseudonym_is_the_same_in_all_mail(settings: Settings, writer: Writer, query: Any, rows: Any) -> None:
    writer.write(rows.batch(*mails(rows)), {})
    erase(settings, "ANNA@example.ORG", "pseudonymise", silent)
    names = query(
        "SELECT sender FROM delivery_from WHERE queue_id = 'A000000001' UNION "
        "SELECT recipient FROM delivery_to WHERE orig_recipient = 'all@example.org' UNION "
        "SELECT orig_recipient FROM delivery_to WHERE recipient = 'carl@example.org' UNION "
        "SELECT recipient FROM noqueue WHERE recipient <> ''"
    )
    [(name,)] = names
    assert name.endswith("@erased.invalid")
    [(reply, history)] = query("SELECT reply, history FROM delivery_to WHERE orig_recipient = 'all@example.org'")
    assert reply == f"550 <{name}>: unknown"
    assert history[0].endswith(f"<{name}> is over quota")


@pytest.mark.parametrize("how", ["remove", "pseudonymise"])
def test_what_the_topics_still_hold_changes_nothing(
    settings: Settings, writer: Writer, query: Any, rows: Any, how: Any
) -> None:
    """The same records again, into the rows that are there, and into tables that have none."""
    own = mails(rows)
    writer.write(rows.batch(*own), {})
    erase(settings, ANNA, how, silent)
    erased = everything(query, TABLES[:3])
    writer.write(rows.batch(*own), {})
    assert everything(query, TABLES[:3]) == erased
    other = Writer(settings)
    query("TRUNCATE delivery_from, delivery_to, noqueue, known_names")
    other.write(rows.batch(*own), {})
    other.close()
    assert sorted(everything(query, TABLES[:3]).splitlines()) == sorted(erased.splitlines())
    assert "anna@example" not in everything(query).lower().replace("joanna@example.org", "")
    assert "anna=example" not in everything(query).lower()


def test_mail_that_arrives_later_is_stored_as_ever(settings: Settings, writer: Writer, query: Any, rows: Any) -> None:
    erase(settings, ANNA, "remove", silent)
    writer.write(rows.batch(rows.delivery(YESTERDAY, recipient=ANNA), rows.delivery(at(1), recipient=ANNA)), {})
    assert query("SELECT count(*) FROM delivery_to WHERE recipient = %s", ANNA) == [(1,)]


def test_a_second_time_finds_nothing(settings: Settings, writer: Writer, query: Any, rows: Any) -> None:
    writer.write(rows.batch(*mails(rows)), {})
    erase(settings, ANNA, "remove", silent)
    before = everything(query)
    assert [count.rows for count in erase(settings, ANNA, "remove", silent)] == [0, 0, 0, 0]
    assert everything(query) == before


def test_a_dry_run_counts_and_changes_nothing(settings: Settings, writer: Writer, query: Any, rows: Any) -> None:
    writer.write(rows.batch(*mails(rows)), {})
    before = everything(query)
    counts = erase(settings, ANNA, "remove", silent, dry_run=True)
    assert everything(query) == before
    assert query("SELECT count(*) FROM erasures") == [(0,)]
    assert counts == erase(settings, ANNA, "remove", silent)


@pytest.mark.parametrize("how", ["remove", "pseudonymise"])
def test_no_attempt_for_two_spellings_of_one_recipient_is_lost(
    settings: Settings, writer: Writer, query: Any, rows: Any, how: Any
) -> None:
    """They stay two rows where made-up addresses link nothing, and become one where it is the same everywhere."""
    attempts = [
        rows.delivery(YESTERDAY, recipient="Anna@example.org", status="deferred", attempts=1),
        rows.delivery(YESTERDAY, recipient=ANNA, last_attempt_at=at(-23), attempts=1),
    ]
    left = [("deferred", 1), ("sent", 1)] if how == "remove" else [("sent", 2)]
    writer.write(rows.batch(*attempts), {})
    erase(settings, ANNA, how, silent)
    for _ in range(2):
        assert query("SELECT status, attempts FROM delivery_to ORDER BY 1") == left
        assert ANNA not in everything(query).lower()
        writer.write(rows.batch(*attempts), {})
    assert query("SELECT sum(deliveries) FROM delivery_counts") == [(len(left),)]


@pytest.mark.parametrize(
    "address", ["Özgür@example.org", '"odd ines4"@shop.example', "x@MÜNCHEN.example", "o'neil@example.org"]
)
def test_an_address_may_have_any_letters_in_any_case(
    settings: Settings, writer: Writer, query: Any, rows: Any, address: str
) -> None:
    given = [
        rows.message(YESTERDAY, sender=address.lower(), reject_reply=f"no mail for '{address.lower()}'"),
        rows.delivery(YESTERDAY, recipient=address),
    ]
    writer.write(rows.batch(*given), {})
    counts = {count.table: count.rows for count in erase(settings, address.title(), "remove", silent)}
    assert counts == {"delivery_from": 1, "delivery_to": 1, "noqueue": 0, "known_names": 2}
    writer.write(rows.batch(*given), {})
    assert json.dumps(address.lower()).strip('"') not in everything(query).lower()
    assert query("SELECT count(*) FROM delivery_to WHERE recipient LIKE '%%@erased.invalid'") == [(1,)]


@pytest.mark.parametrize("how", ["remove", "pseudonymise"])
def test_a_login_without_a_domain_is_erased_where_it_stands_as_one(
    settings: Settings, writer: Writer, query: Any, rows: Any, how: Any
) -> None:
    given = [
        rows.message(YESTERDAY, sender="ann@example.org", sasl_username="Ann", helo="ann"),
        rows.delivery(YESTERDAY, recipient="ann", reply="ann is unknown"),
        rows.rejection(YESTERDAY, sender="ann", sasl_username="ann"),
        rows.message(YESTERDAY, queue_id="A000000001", sasl_username="joann"),
    ]
    writer.write(rows.batch(*given), {})
    counts = {count.table: count.rows for count in erase(settings, "ann", how, silent)}
    assert counts == {"delivery_from": 1, "delivery_to": 0, "noqueue": 1, "known_names": 0}
    left = everything(query)
    writer.write(rows.batch(*given), {})
    assert everything(query) == left
    assert query("SELECT sender, helo FROM delivery_from WHERE sasl_username LIKE '%%@erased.invalid'") == [
        ("ann@example.org", "ann")
    ]
    assert query("SELECT recipient FROM delivery_to") == [("ann",)]


def test_a_part_brings_nobody_into_older_mail_that_it_joins(
    settings: Settings, writer: Writer, query: Any, rows: Any
) -> None:
    def mail(when: str, **fields: Any) -> list[Any]:
        name = {"queue_id": "9D5CB98A3E", **fields}
        return [rows.message(when, **name), rows.delivery(when, **name, recipient=ANNA, reply=f"'{ANNA}'")]

    writer.write(rows.batch(*mail(at(-30))), {})
    erase(settings, ANNA, "remove", silent)
    later = at(1)
    writer.write(rows.batch(*mail(later, origin=0)), {})
    assert query("SELECT count(*), count(DISTINCT arrived_at) FROM delivery_to") == [(1, 1)]
    assert ANNA not in everything(query, TABLES[:3])


def test_a_part_that_was_erased_and_its_message_name_one_recipient(
    settings: Settings, writer: Writer, query: Any, rows: Any
) -> None:
    name = {"queue_id": "9D5CB98A3E"}
    part = {**name, "origin": 0}
    writer.write(rows.batch(rows.message(at(-20), **part), rows.delivery(at(-20), **part, recipient=ANNA)), {})
    erase(settings, ANNA, "remove", silent)
    writer.write(rows.batch(rows.message(at(-30), **name), rows.delivery(at(-30), **name, recipient=ANNA)), {})
    assert query("SELECT count(*) FROM delivery_from") == [(1,)]
    assert query("SELECT count(*) FROM delivery_to") == [(1,)]


KNOWN = "SELECT kind, name FROM known_names WHERE name NOT LIKE '%%@example.net' ORDER BY name"


def test_a_sink_stores_an_erased_name_again_with_the_mail_that_has_it_later(
    settings: Settings, writer: Writer, query: Any, rows: Any
) -> None:
    other = rows.message(YESTERDAY, queue_id="B000000001", sender="bob@example.org")
    writer.write(rows.batch(rows.message(YESTERDAY, sender=ANNA), other), {})
    erase(settings, ANNA, "remove", silent)
    query(KNOWN)
    query("DELETE FROM known_names")
    for _ in range(2):
        later = rows.message(at(1), queue_id="C000000001", sender=ANNA)
        writer.write(rows.batch(later, other), {})
        assert query(KNOWN) == [("sender", ANNA), ("sender", "bob@example.org")]


def test_names_that_erasing_makes_are_known_and_others_stay_so(
    settings: Settings, writer: Writer, query: Any, rows: Any
) -> None:
    erase(settings, "joanna@example.org", "remove", silent)  # whose later mail is stored as ever
    writer.write(rows.batch(rows.message(at(1), sender="joanna@example.org")), {})
    senders = [f"bounce+{name}=example.org@lists.example.com" for name in ("anna", "bo-banna")]
    mail = [rows.message(YESTERDAY, queue_id=f"{n}000000001", sender=name) for n, name in enumerate(senders)]
    writer.write(rows.batch(*mail), {})
    erase(settings, ANNA, "remove", silent)
    stored = query("SELECT 'sender', sender FROM delivery_from ORDER BY sender")
    assert ("sender", senders[1]) in stored
    assert query(KNOWN) == stored


def test_nothing_comes_back_while_sinks_write(settings: Settings, query: Any, rows: Any) -> None:
    stop, errors = threading.Event(), []

    def load() -> None:
        writer = Writer(settings)
        number = 0
        try:
            while not stop.is_set():
                number += 1
                name = {"queue_id": f"{number % 50:010X}", "recipient": ANNA}
                writer.write(rows.batch(rows.delivery(YESTERDAY, **name), rows.message(YESTERDAY, sender=ANNA)), {})
        except BaseException as error:  # noqa: BLE001 - handed to the test
            errors.append(error)
        writer.close()

    threads = [threading.Thread(target=load) for _ in range(2)]
    for thread in threads:
        thread.start()
    while query("SELECT count(*) < 50 FROM delivery_to") == [(True,)]:
        assert errors == []
    erase(settings, ANNA, "remove", silent)
    stop.set()
    for thread in threads:
        thread.join()
    assert errors == []
    assert ANNA not in everything(query)
    assert query("SELECT count(*) FROM delivery_to") == [(50,)]


def test_a_sink_that_stands_still_is_told(settings: Settings, query: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owning, "TRIES", 2)
    monkeypatch.setattr(erasing, "_LOCK_MS", 50)
    monkeypatch.setattr(owning, "PAUSE_SECONDS", 0.01)
    sink = connect(settings.database)
    with sink, sink.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock_shared(%s)", (LOCK,))
        with pytest.raises(TryAgainLaterError, match="a sink holds"):
            erase(settings, ANNA, "remove", silent)
    sink.close()
    assert query("SELECT count(*) FROM erasures") == [(0,)]


@pytest.mark.parametrize("word", ["@example.org", "anna@", "an na@example.org", "an na", ""])
def test_what_is_no_address_is_refused(settings: Settings, word: str) -> None:
    with pytest.raises(ConfigurationError, match="no address"):
        erase(settings, word, "remove", silent)


def test_an_address_is_no_pattern(settings: Settings, writer: Writer, query: Any, rows: Any) -> None:
    odd = r"a.*(b)\1%_'\\@example.org"
    writer.write(
        rows.batch(rows.delivery(YESTERDAY, recipient=odd), rows.delivery(YESTERDAY, recipient="ab@example.org")), {}
    )
    erase(settings, odd, "remove", silent)
    assert query("SELECT count(*) FROM delivery_to WHERE recipient = 'ab@example.org'") == [(1,)]
    assert query("SELECT count(*) FROM delivery_to WHERE recipient LIKE '%%@erased.invalid'") == [(1,)]
