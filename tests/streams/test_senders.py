"""The sender of a message is the queue manager's: what others log is not rewritten yet, or a client has chosen it."""

from collections.abc import Callable
from itertools import permutations

import pytest

from schemas.deliveries import DeliveryFrom, decode_delivery_from
from schemas.raw import RawBatch, RawLine, StreamPosition
from schemas.settings import Settings, StreamSettings
from schemas.topics import topics_of
from streams import state
from streams.state import PartitionState, Write

TOPICS = topics_of(Settings().kafka, Settings().stream)
START = 1_763_800_000_000_000
SENDERS = [("root@web1.int.example.com", "root@example.com"), ("root@example.com", "root@web1.int.example.com")]
"""Before it is rewritten and after: once the greater text goes, once it comes."""

Line = tuple[str, str]
"""Program and text behind the queue id."""


def queued(sender: str) -> Line:
    return "qmgr", f"from=<{sender}>, size=541, nrcpt=1 (queue active)"


ARRIVED = ("smtpd", "client=c.test[192.0.2.9]")
ELSEWHERE: dict[str, Callable[[str], Line]] = {
    "pickup": lambda sender: ("pickup", f"uid=0 from=<{sender}>"),
    "smtpd": lambda sender: (
        "smtpd",
        f"reject: RCPT from c.test[192.0.2.9]: 550 5.1.1 <n@x>: no; from=<{sender}> to=<n@x> proto=SMTP helo=<h>",
    ),
    "cleanup": lambda sender: (
        "cleanup",
        f"hold: header X: y from c.test[192.0.2.9]; from=<{sender}> to=<b@x> proto=SMTP helo=<h>: held",
    ),
    "milter": lambda sender: (
        "cleanup",
        f"milter-reject: END-OF-MESSAGE from c.test[192.0.2.9]: 5.7.1 no; from=<{sender}> to=<b@x> proto=SMTP helo=<h>",
    ),
    "expired": lambda sender: ("qmgr", f"from=<{sender}>, status=expired, returned to sender"),
}


def row_of(*lines: Line, verp: str | None = None, interrupted: bool = False) -> DeliveryFrom:
    """Return the message's row; *interrupted*, another worker goes on from the changelog after each line."""
    settings = StreamSettings(verp_marker=verp)
    stage = PartitionState(0, TOPICS, settings)
    writes: list[Write] = []
    changelog: dict[bytes, bytes] = {}
    for daemon, text in lines:
        line = RawLine(START, f"postfix/{daemon}", 7, f"9D5CB98A3E3: {text}".encode())
        stage.merge(RawBatch(host="mx1", source="t", position=StreamPosition(), lines=[line]))
        if interrupted:
            made = stage.checkpoint()
            writes += made
            changelog |= {w.key: w.value for w in made if w.topic == TOPICS.changelog.name and w.value is not None}
            stage = PartitionState(0, TOPICS, settings)
            stage.restore(changelog)
    writes += stage.checkpoint()
    return [decode_delivery_from(w.value) for w in writes if w.topic == TOPICS.delivery_from.name and w.value][-1]


@pytest.mark.parametrize("interrupted", [False, True], ids=["at once", "with other workers"])
@pytest.mark.parametrize("verp", [None, "+"], ids=["shortcut", "parser"])
@pytest.mark.parametrize(("told", "rewritten"), SENDERS)
@pytest.mark.parametrize("where", ELSEWHERE)
def test_the_queue_managers_counts_whatever_comes_first(
    where: str,
    told: str,
    rewritten: str,
    verp: str | None,
    interrupted: bool,  # noqa: FBT001
) -> None:
    lines = [ELSEWHERE[where](told), queued(rewritten), queued(rewritten)]
    if where != "pickup":
        lines.append(ARRIVED)
    for order in permutations(lines):
        row = row_of(*order, verp=verp, interrupted=interrupted)
        assert row.sender == rewritten, order


@pytest.mark.parametrize(("told", "rewritten"), SENDERS)
def test_by_a_shortcut_it_is_the_same_row(told: str, rewritten: str, monkeypatch: pytest.MonkeyPatch) -> None:
    orders = list(permutations([ARRIVED, ELSEWHERE["cleanup"](told), queued(rewritten), queued(rewritten)]))
    short = [row_of(*order) for order in orders]
    monkeypatch.setattr(state, "shortcut_of", lambda *_, **__: None)
    assert short == [row_of(*order) for order in orders]


@pytest.mark.parametrize("where", ELSEWHERE)
def test_where_the_queue_manager_has_told_none_it_is_that_of_the_others(where: str) -> None:
    assert row_of(ARRIVED, ELSEWHERE[where]("a@x.test")).sender == "a@x.test"


@pytest.mark.parametrize(
    ("told", "rewritten", "verp_id"),
    [
        ("z+z@web1.example.com", "a@example.com", None),
        ("z@web1.example.com", "a+b@example.com", "b"),
        ("a+z@web1.example.com", "z+b@example.com", "b"),
    ],
)
def test_the_verp_id_is_that_of_the_sender(told: str, rewritten: str, verp_id: str | None) -> None:
    lines = [ELSEWHERE["pickup"](told), ELSEWHERE["smtpd"](""), queued(rewritten)]
    for order in permutations(lines):
        row = row_of(*order, verp="+")
        assert (row.sender, row.verp_id) == (rewritten, verp_id), order
