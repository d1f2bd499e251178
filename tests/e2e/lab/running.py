"""A whole run: all mail sent, the queue run and handled, the truth confirmed by queue and peers, the log taken."""

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import msgspec

from lab.configuration import BOUNCE_LIFETIME
from lab.destinations import ROUNDS
from lab.drafting import Draft
from lab.journald import Journald
from lab.mail import send
from lab.mix import draw_up
from lab.namespace import Namespace
from lab.peers import Peers
from lab.postfix import Postfix, Queued
from lab.truth import Truth

_CLIENTS: Final = 4
"""Sessions at a time."""


class Run(msgspec.Struct):
    """What a run leaves: the log's bytes and the truth."""

    log: bytes
    truth: Truth
    mails: int
    seconds: float


def run(seed: int, mails: int, *, long_ids: bool) -> Run:
    """Run the mix of *seed* through a Postfix of its own that logs to a file."""
    started = time.monotonic()
    with Namespace() as namespace, Peers() as peers:
        draft = draw_up(seed, mails, namespace.host)
        with Postfix(namespace, peers.ports, long_ids=long_ids) as postfix:
            put_through(draft, postfix, peers)
            postfix.stop()
            log = postfix.log.read_bytes()
    return Run(log, draft.truth, draft.mails, time.monotonic() - started)


def run_into(journald: Journald, seed: int, mails: int, *, long_ids: bool) -> Run:
    """Run the mix of *seed* through a Postfix of its own that logs to the journal."""
    started = time.monotonic()
    namespace = journald.namespace
    with Peers() as peers:
        draft = draw_up(seed, mails, namespace.host)
        with Postfix(namespace, peers.ports, long_ids=long_ids, syslog=True) as postfix:
            put_through(draft, postfix, peers)
    return Run(journald.lines(), draft.truth, draft.mails, time.monotonic() - started)


def put_through(draft: Draft, postfix: Postfix, peers: Peers) -> None:
    """Send all mail, make the queue runs, handle what is to be handled; raises AssertionError for an untrue truth."""
    under_way = len({row.message for row in draft.truth.deliveries if row.queue == "active"})
    peers.filter.next_port = postfix.ports["reinject"]
    draft.run.note(time.time())
    with ThreadPoolExecutor(_CLIENTS) as pool:
        list(pool.map(lambda session: send(postfix, session), draft.sessions))
    sent = time.time()
    queued = postfix.wait_until_quiet(under_way)
    for done in range(ROUNDS):
        for handling in draft.handlings:
            if handling.after == done:
                _handle(postfix, queued, handling.option, handling.sender)
        postfix.wait_until_quiet(under_way)
        if done + 1 < ROUNDS:
            if done + 2 == ROUNDS:  # what is to expire must be old enough by the last of the queue runs
                time.sleep(max(0.0, sent + BOUNCE_LIFETIME + 1 - time.time()))
            postfix.flush()
            queued = postfix.wait_until_quiet(under_way)
    draft.run.note(time.time())
    _confirm(draft.truth, postfix.queued(), peers.taken())


def _handle(postfix: Postfix, queued: list[Queued], option: str, sender: str) -> None:
    ids = [q.queue_id for q in queued if q.sender == sender]
    assert len(ids) == 1, f"{sender} has {len(ids)} messages in the queue, for postsuper {option}: {queued}"
    postfix.handle(option, ids[0])


def _confirm(truth: Truth, queued: list[Queued], taken: Counter[tuple[str, str]]) -> None:
    """Check the truth against what is in the queue and what the peers took."""
    expected = Counter((row.sender, str(row.find["recipient"])) for row in truth.deliveries if row.peer)
    assert expected == taken, f"taken too often: {taken - expected}; too rarely: {expected - taken}"
    there = {(q.queue, q.sender) for q in queued}
    supposed = {(row.queue, row.sender) for row in truth.deliveries if row.queue}
    assert there == supposed, f"in the queue: {there - supposed}; not there: {supposed - there}"
