"""The packaged sample log shows what the product can do, and nothing of the machine that it was made on."""

import re
from importlib.resources import files

import pytest

LOG = (files("journal_postfix") / "data" / "sample.log").read_text(encoding="utf-8")


def test_every_line_is_one_of_the_host_mx1() -> None:
    lines = LOG.splitlines()
    assert 300 <= len(lines) <= 600
    assert [
        line for line in lines if not re.match(r"\w{3} [ \d]\d \d\d:\d\d:\d\d mx1 postfix/\S+\[\d+\]: \S", line)
    ] == []


def test_it_has_no_path_of_another_machine() -> None:
    assert set(re.findall(r"(?<![\w.<>=/-])/[a-z]+/[a-z./_-]+", LOG)) <= {
        "/etc/postfix",
        "/var/lib/postfix/postscreen_cache",
    }


def test_its_names_and_addresses_are_those_for_documentation() -> None:
    domains = {domain.lower() for domain in re.findall(r"@([\w.-]+)", LOG)}
    assert {domain for domain in domains if not re.search(r"(^|\.)example(\.(com|net|org|edu))?$", domain)} == set()
    addresses = set(re.findall(r"\b\d+\.\d+\.\d+\.\d+\b", LOG))
    assert {a for a in addresses if not a.startswith(("192.0.2.", "198.51.100.", "203.0.113."))} <= {"127.0.0.1"}


@pytest.mark.parametrize(
    "what",
    [
        "status=sent (", "status=deferred (", "status=bounced (", "status=expired,", "status=force-expired,",
        "/discard[", ": hold: header", ": discard: header", ": reject: header", "NOQUEUE: reject: RCPT",
        "orig_to=<", "forwarded as ", "queued as ", "non-delivery notification: ", ": requeued", ": placed on hold",
        ": released from hold", "sasl_username=", "orig_queue_id=", "lost connection after DATA",
    ],
)  # fmt: skip
def test_it_has_something_of_everything(what: str) -> None:
    assert what in LOG
