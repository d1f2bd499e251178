"""The lines of messages as Postfix could have logged them, for tests that feed them in any order."""

from hypothesis import strategies as st

Line = tuple[float, str, str]
"""Seconds, program and text."""

RECIPIENTS = ["b@x.test", "c@x.test", '"d d"@x.test']


@st.composite
def histories(draw: st.DrawFn) -> list[Line]:  # noqa: C901 - one branch for each thing that may happen
    """The lines of one message as Postfix could have logged them, in that order."""
    queue_id = draw(st.sampled_from(["9D5CB98A3E3", "4STW2c002Nz5Q"]))
    arrival = draw(st.sampled_from(["smtpd", "pickup", "internal", "unseen"]))
    sender, rewritten = draw(st.permutations(["a@s", "z@s"])) if draw(st.booleans()) else ("a@s", "a@s")
    clock = 0.0
    lines: list[Line] = []

    def log(daemon: str, text: str) -> None:
        lines.append((clock, f"postfix/{daemon}", f"{queue_id}: {text}"))

    if arrival == "smtpd":
        log("smtpd", "client=c.test[192.0.2.1], sasl_method=PLAIN, sasl_username=erika")
        if draw(st.booleans()):
            log(
                "smtpd",
                "reject: RCPT from c.test[192.0.2.1]: 550 5.1.1 <n@x>: no; "
                f"from=<{sender}> to=<n@x> proto=SMTP helo=<h>",
            )
    if arrival == "pickup":
        log("pickup", f"uid=0 from=<{sender}>")
    clock += draw(st.sampled_from([0, 1, 30]))
    if arrival != "unseen":
        log("cleanup", "message-id=<m@s.test>")
        if draw(st.booleans()):
            log("cleanup", "resent-message-id=<n@s.test>")
    if draw(st.booleans()):
        log("cleanup", f"hold: header X: y from c.test[192.0.2.1]; from=<{sender}> to=<n@x> proto=SMTP helo=<h>: held")
        clock += draw(st.sampled_from([0, 100]))
        log("postsuper", "released from hold")
    for _ in range(draw(st.integers(1, 3))):
        log("qmgr", f"from=<{rewritten}>, size=541, nrcpt=3 (queue active)")
        for recipient in RECIPIENTS:
            status = draw(st.sampled_from(["sent", "deferred", "bounced", None]))
            if status is not None:
                clock += draw(st.sampled_from([0, 1]))
                log("smtp", f"to=<{recipient}>, relay=r, delay={clock}, delays=0/0/0/1, dsn=2.0.0, status={status} (x)")
        clock += draw(st.sampled_from([1, 4000]))
    log(
        *draw(
            st.sampled_from([("qmgr", "removed"), ("postsuper", "removed"), ("qmgr", "skipped, still being delivered")])
        )
    )
    return lines


@st.composite
def slots(draw: st.DrawFn) -> list[Line]:
    """The lines of one message, or of two that have an id one after the other, each with recipients of its own."""
    first = draw(histories())
    if draw(st.booleans()):
        return first
    queue_id = first[0][2].partition(":")[0]
    begins = first[-1][0] + draw(st.sampled_from([0, 1, 3, 10, 86400]))
    second = draw(histories())
    return first + [
        (begins + at, program, f"{queue_id}{text[text.index(':') :]}".replace("x.test", "y.test"))
        for at, program, text in second
    ]
